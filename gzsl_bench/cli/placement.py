"""How many workers and threads a command trains with: as asked for, or by what is measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gzsl_bench.engine.placement import Placement
    from gzsl_bench.records.layout import Layout


def place_workers(
    layout: Layout,
    units: int,
    *,
    device: str,
    jobs: int | None,
    threads: int | None,
    measured: bool,
) -> Placement:
    """Workers of this machine and the threads of each.

    Args:
        layout: the results folder, which remembers what was measured.
        units: of the whole suite, finished or not: a resumed suite is placed as before.
        device: where to train.
        jobs: workers that the user asked for, if so.
        threads: of each, that the user asked for, if so.
        measured: workers are about to train something, so that measuring is worth its seconds.
    """
    from gzsl_bench.engine import environment
    from gzsl_bench.engine.placement import Placement, most_workers, usual

    cores = environment.usable_cores()
    if jobs is None and device.startswith("cuda"):
        jobs = 1
    if jobs is not None:
        return Placement(jobs, threads or max(1, cores // jobs))
    if threads is not None:
        return Placement(max(1, min(cores // threads, most_workers(cores))), threads)
    if not measured or cores == 1:
        return usual(cores)
    return _soonest(layout, units, cores)


def _soonest(layout: Layout, units: int, cores: int) -> Placement:
    """What gets the suite done soonest, with the reason on standard error."""
    from gzsl_bench.engine import pace
    from gzsl_bench.engine.placement import candidates, choose, most_workers, reason, usual

    most = most_workers(cores)
    wanted = candidates(units, cores, most)
    try:
        seconds = step_times(layout, wanted) if len(wanted) > 1 else {}
    except pace.Unmeasured as error:
        placement = usual(cores)
        click.echo(
            f"warning: how fast workers are side by side could not be measured: {error}; it is"
            f" {placement}, as usual",
            err=True,
        )
        return placement
    placement = choose(units, cores, most, seconds)
    click.echo(f"{placement} ({reason(units, cores, most, seconds)})", err=True)
    return placement


def step_times(layout: Layout, wanted: Sequence[Placement]) -> dict[tuple[int, int], float]:
    """Seconds of a step for all that is wanted, by workers and threads.

    The results folder knows best, so that a resumed suite is placed as before; then the user's
    timings; what neither has is measured and added to both.

    Raises:
        Unmeasured: it cannot be measured.
    """
    from gzsl_bench.engine import pace, timings

    machine, shared = timings.fingerprint(), timings.shared_file()

    def known() -> dict[tuple[int, int], float]:
        return timings.recall(shared, machine) | timings.recall(layout.placement, machine)

    seconds = known()
    if timings.missing(wanted, seconds):
        with timings.alone():
            seconds = known()  # somebody may have measured while we waited
            lacking = timings.missing(wanted, seconds)
            if lacking:
                click.echo(
                    "measuring how many workers are fastest (once per machine, a few seconds)",
                    err=True,
                )
                found = pace.measure(lacking)
                timings.remember(shared, machine, found)
                seconds |= found
    used = {(p.workers, p.threads): seconds[p.workers, p.threads] for p in wanted}
    timings.remember(layout.placement, machine, used)
    return used
