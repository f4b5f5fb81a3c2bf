"""``python -m benchmarks.ten_seeds``: how long ten seeds of everything take, by the real command.

``gzsl-bench run`` of a suite, by default ``suites/ps_synthetic.yaml``, in a process of its own with
a fresh results folder and a fresh cache, so that generating the data counts.  Wall time is cut at
two entries of the results folder's journal; the time of each data set and method is read off its
records, which keep one number for a stack of runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gzsl_bench import markdown
from gzsl_bench.records import journal
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.record import Provenance
from gzsl_bench.records.store import RecordStore

SUITE = Path(__file__).parents[1] / "suites" / "ps_synthetic.yaml"
#: The bar and the aim beyond it: seconds of the whole suite on one H200.
BAR, AIM = 480.0, 360.0


def run(suite: Path, records: Path, options: tuple[str, ...]) -> tuple[float, float]:
    """Run ``suite`` by the command line; when it began and ended, in seconds since 1970.

    Raises:
        ClickException: it did not end well.
    """
    command = [sys.executable, "-m", "gzsl_bench", "run", str(suite)]
    command += ["--out", str(records), *options]
    environment = {**os.environ, "GZSL_BENCH_CACHE": str(records.parent / "cache")}
    begun = time.time()
    code = subprocess.run(command, env=environment, check=False).returncode
    ended = time.time()
    if code:
        raise click.ClickException(f"gzsl-bench run ended with code {code}: no times")
    return begun, ended


def read(records: Path, begun: float, ended: float) -> dict[str, Any]:
    """What a results folder says about its only run, which took from ``begun`` to ``ended``.

    Returns:
        ``wall`` seconds and its three parts ``before`` (the program's start, generating data),
        ``training`` (workers at work, all they do beside training included) and ``after`` (tables);
        ``trainings``, one for each data set and method; the hardware and versions of the records.
    """
    store = RecordStore(records)
    at = {
        event["event"]: datetime.fromisoformat(event["time"]).timestamp()
        for event in journal.read(Layout(records).journal)
    }
    stacks: dict[tuple[str, str], dict[tuple[str, ...], list[float]]] = {}
    about: Provenance | None = None
    for folder in sorted(Layout(records).cells.iterdir()):
        record = store.read(folder.name)
        assert record is not None
        about = record.provenance
        place = record.dataset, record.method
        stacks.setdefault(place, {}).setdefault(about.trained, []).append(about.seconds)
    assert about is not None
    trainings: list[dict[str, Any]] = []
    for (dataset, method), found in sorted(stacks.items()):
        # The last record of a stack holds the time of all of it.
        seconds = sum(max(values) for values in found.values())
        runs = sum(len(values) for values in found.values())
        trainings.append(
            {
                "dataset": dataset, "method": method, "runs": runs, "stacks": len(found),
                "seconds": seconds, "seconds_per_run": seconds / runs,
            }
        )  # fmt: skip
    runs = sum(each["runs"] for each in trainings)
    return {
        "wall": ended - begun,
        "before": at["started"] - begun,
        "training": at["ended"] - at["started"],
        "after": ended - at["ended"],
        "trainings": trainings,
        "seconds_of_trainings": sum(each["seconds"] for each in trainings),
        "runs": runs,
        "runs_per_hour": 3600 * runs / (ended - begun),
        "hardware": dict(about.hardware),
        "versions": dict(about.versions),
    }


def verdict(wall: float, hardware: Mapping[str, Any]) -> str:
    """How far ``wall`` seconds of the whole suite are from the bar and the aim."""
    found = [
        f"{name} {limit:.0f} s: {'met' if wall < limit else 'missed'}, {100 * wall / limit:.0f} %"
        for name, limit in (("bar", BAR), ("aim", AIM))
    ]
    other = "" if "H200" in hardware["accelerator"] else f"; this is {hardware['accelerator']}"
    return f"{'; '.join(found)} (the bar is one H200's{other})"


def text(result: Mapping[str, Any]) -> str:
    """The measurement for a terminal."""
    hardware = result["hardware"]
    where = hardware.get("accelerator") or f"{hardware['processor']}, {hardware['cores']} core(s)"
    lines = [
        [each["dataset"], each["method"], each["runs"], each["stacks"], f"{each['seconds']:.1f}",
         f"{each['seconds_per_run']:.2f}"]
        for each in result["trainings"]
    ]  # fmt: skip
    return (
        markdown.table(["data set", "method", "runs", "stacks", "s", "s a run"], lines)
        + f"\n\n{result['wall']:.1f} s in all: {result['before']:.1f} until training begins (data"
        f" are generated), {result['training']:.1f} training"
        f" ({result['seconds_of_trainings']:.1f} by the records), {result['after']:.1f} after it\n"
        f"{result['runs']} runs, {result['runs_per_hour']:.1f} an hour; {where},"
        f" torch {result['versions'].get('torch', '?')}"
    )


@click.command()
@click.argument("options", nargs=-1)
@click.option("--suite", default=SUITE, type=click.Path(path_type=Path), help="Another suite.")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(options: tuple[str, ...], suite: Path, out: Path) -> None:
    """Time ten seeds of ACMR and CADA-VAE on generated data in four true shapes.

    What follows ``--`` goes to `gzsl-bench run`: ``-- --device cuda --seeds 2``.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        records = Path(name) / "records"
        result: dict[str, Any] = {"suite": suite.stem, "options": options}
        result |= read(records, *run(suite, records, options))
    out.mkdir(parents=True, exist_ok=True)
    (out / "ten_seeds.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    click.echo(text(result))
    if suite == SUITE and result["runs"] == 80 and result["hardware"]["device"].startswith("cuda"):
        click.echo(verdict(result["wall"], result["hardware"]))


if __name__ == "__main__":
    main()
