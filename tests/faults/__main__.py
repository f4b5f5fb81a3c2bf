"""``python -m tests.faults``: kills at random moments, short as in CI or ``--long``.

    python -m tests.faults                          # the short form: 8 cells, half a minute
    python -m tests.faults --long                   # 60 cells; 200 kills of parents, 200 of workers
                                                    # attacks on the command; storm over 400 cells
    python -m tests.faults --storm 25               # a storm alone, over 100 cells
    python -m tests.faults --attacks                # those alone
    python -m tests.faults --fuzz --long            # 10,000 suites and 1,000 .mat files instead
    python -m tests.faults --parents 50 --seed 3    # some of one kind

Prints the figures; exit code 1 with a sentence if anything was lost, replaced or done twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import fuzz
from tests.faults.attacks import Attacks
from tests.faults.kills import Broken, Campaign
from tests.faults.storm import storm
from tests.warm import ALONE, preload

#: Kills of lone parents, of one of two parents, of workers.
SHORT, LONG = (2, 2, 2), (100, 100, 200)


def main() -> int:
    """Run the campaign that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--long", action="store_true", help="200 kills of parents, 200 of workers")
    parser.add_argument("--parents", type=int, help="kills of lone parents")
    parser.add_argument("--pairs", type=int, help="kills of one of two parents of one suite")
    parser.add_argument("--workers", type=int, help="kills of workers")
    parser.add_argument("--seeds", type=int, help="of the suite, which has four cells for each")
    parser.add_argument("--minutes", type=float, default=1e9, help="most minutes for each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="where to work, and to leave everything")
    parser.add_argument("--storm", type=int, help="a storm alone; seeds of its suite")
    parser.add_argument("--attacks", action="store_true", help="attacks on the command alone")
    parser.add_argument("--fuzz", action="store_true", help="malformed input instead of kills")
    asked = parser.parse_args()
    if asked.fuzz:
        return fuzz.main(asked.long)
    alone = asked.storm is not None or asked.attacks
    own = (asked.parents, asked.pairs, asked.workers)
    usual = (0, 0, 0)
    if (own == (None, None, None) and not alone) or asked.long:
        usual = LONG if asked.long else SHORT
    parents, pairs, workers = (
        usual[i] if own[i] is None else own[i] for i in range(3)
    )  # fmt: skip
    # A store that some other program was pointed at is none of ours.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ.update(ALONE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with the figures so far
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gzsl-bench-faults-") as folder:
        preload(Path(folder))
        place, seeds = asked.folder or Path(folder), asked.seeds or (15 if asked.long else 2)
        campaign = Campaign(place, asked.seed, seeds, lambda text: print(text, flush=True))
        print(f"{campaign.cells} cells take {campaign.whole:.1f} s undisturbed", flush=True)
        try:
            for kind, kills in (
                (campaign.parents, parents),
                (campaign.pairs, pairs),
                (campaign.workers, workers),
            ):
                campaign.until = time.monotonic() + 60 * asked.minutes
                if kills:
                    kind(kills)
            if asked.attacks or asked.long:
                print(f"{Attacks(place).all()} attacks on the command", flush=True)
            if asked.storm or asked.long:
                rage(place, asked.seed, asked.storm or 100)
        except Broken as error:
            print(f"BROKEN: {error}", flush=True)
            return 1
        finally:
            campaign.close()
            report(campaign, time.monotonic() - began)
    return 0


def rage(place: Path, seed: int, seeds: int) -> None:
    """A storm over a suite of its own."""
    campaign = Campaign(place / "storms", seed, seeds, lambda text: print(text, flush=True))
    began = time.monotonic()
    try:
        done = storm(campaign)
    finally:
        campaign.close()
    figures = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
    print(
        f"a storm over {campaign.cells} cells in {time.monotonic() - began:.0f} s: {figures};"
        f" {campaign.figures.taken_over} cells taken over, {campaign.figures.twice} trained twice",
        flush=True,
    )


def report(campaign: Campaign, seconds: float) -> None:
    """The figures."""
    found = campaign.figures
    for what, times in found.kills.items():
        print(f"kills of {what}: {times}, {found.busy[what]} of them in the midst of cells")
    print(
        f"{found.rounds} suites of {campaign.cells} cells brought to their end in {seconds:.0f} s,"
        f" {found.starts} programs started; {found.taken_over} cells taken over from dead runs,"
        f" {found.twice} trained twice",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
