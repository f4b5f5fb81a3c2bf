"""``gzsl-bench records``: the records of a results folder checked, tidied, exported and merged."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli.group import Group
from gzsl_bench.cli.options import (
    choose_device,
    data_option,
    debug_option,
    device_option,
    json_option,
    out_option,
    place,
    plugin_option,
)
from gzsl_bench.cli.submissions import check_command, init_command, submit_command
from gzsl_bench.terminal.clock import Clock
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.records.merge import Merged
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.tidy import Leftover
    from gzsl_bench.records.verify import Findings

#: Lines of one kind that are printed before the rest is counted.
_SHOWN = 20
_SUITE = click.option("--suite", metavar="SUITE", help="Only the records of this suite.")


@click.group("records", cls=Group)
def records_group() -> None:
    """Check, tidy, export and merge records; submit them, and check what others submit."""


for _command in (submit_command, check_command, init_command):
    records_group.add_command(_command)


@records_group.command("verify")
@out_option
@_SUITE
@click.option("--deep", is_flag=True, help="Compute AUSUC and metrics of plugins again, too.")
@plugin_option
@json_option
@debug_option
def verify_command(
    out: Path,
    suite: str | None,
    deep: bool,
    plugin: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Check that the records are whole and are what they claim to be.

    Every record is readable, its key is the hash of its identity, its predictions are those that
    were recorded, its U, S, H and T1 follow from them at every checkpoint; none that the journal
    has is gone.  What was not computed again is said.  Exit code: 0 all well, 1 something is
    damaged, 2 there are no records.
    """
    from gzsl_bench.cli.validate import open_plugins
    from gzsl_bench.records.recompute import QUICK
    from gzsl_bench.records.suites import recall
    from gzsl_bench.records.verify import verify

    store = _store(out)
    keys = None if suite is None else [c.key for c in recall(store.layout, suite).cells]
    metrics = open_plugins(plugin).metrics if deep else QUICK
    found = verify(store, keys, metrics=metrics)
    if as_json:
        put(_json(found))
    else:
        _lines(found.problems)
    _lines([f"note: {note}" for note in found.notes], err=True)
    say(
        f"{counted(found.records, 'record')}: {found.complete} complete, {found.failed} failed,"
        f" {found.not_applicable} not applicable; {counted(len(found.problems), 'problem')}"
    )
    left = ", ".join(sorted(found.believed))
    how = "no plugin here has them, or another version of them" if deep else "--deep does that"
    say(
        (f"not computed again: {left} ({how}); " if left else "")
        + "whether a method gives these predictions, `records reproduce KEY` shows"
    )
    return 1 if found.problems else 0


@records_group.command("gc")
@out_option
@click.option("--failed", is_flag=True, help="Also earlier failures of cells that ran again.")
@click.option("--yes", is_flag=True, help="Remove it; without this it is only listed.")
@json_option
@debug_option
def gc_command(out: Path, failed: bool, yes: bool, as_json: bool) -> None:
    """List, or remove, what killed runs left behind.  No record that counts is ever touched."""
    from gzsl_bench.records.tidy import collect, leftovers

    layout = _store(out).layout
    found = collect(layout, failed=failed) if yes else leftovers(layout, failed=failed)
    if as_json:
        put(json.dumps([_describe(entry, out) for entry in found], indent=1))
    else:
        _lines([f"{entry.kind}: {entry.path.relative_to(out)}" for entry in found])
    size = sum(entry.size for entry in found)
    what = "removed" if yes else "would be removed by --yes"
    say(f"{len(found)} leftovers, {_bytes(size)}, {what}")


@records_group.command("export")
@click.argument("archive", type=click.Path(dir_okay=False, path_type=Path))
@out_option
@_SUITE
@debug_option
def export_command(archive: Path, out: Path, suite: str | None) -> int:
    """Write the finished records to ARCHIVE (.tar or .tar.gz), for `records import` elsewhere.

    The same records give the same bytes: no times, no owners.  Exit code 1 if damaged records had
    to be left out.
    """
    from gzsl_bench.records.export import export

    done = export(_store(out), archive, suite)
    _lines([f"left out: {problem}" for problem in done.damaged], err=True)
    suites = f" and the suites {', '.join(done.suites)}" if done.suites else ""
    failed = f"; without {counted(done.failed, 'failed cell')}" if done.failed else ""
    say(f"{archive}: {counted(done.records, 'record')}{suites}, {_bytes(done.size)}{failed}")
    return 1 if done.damaged else 0


@records_group.command("import")
@click.argument("archive", type=click.Path(path_type=Path))
@out_option
@click.option("--no-recompute", is_flag=True, help="Believe the numbers; tables then say so.")
@plugin_option
@json_option
@debug_option
def import_command(
    archive: Path, out: Path, no_recompute: bool, plugin: tuple[Path, ...], as_json: bool
) -> int:
    """Merge the records of ARCHIVE, which `records export` wrote, into the results folder.

    A submission in a results repository is such an archive, too, unpacked to a folder.

    Every record is checked before it is taken, and its metrics are computed again from its
    predictions.  Where the folder has one of the same cell, that stays, and what is different is
    said.  Runs may be at work meanwhile.  Exit code: 0 merged, 1 something in the archive was no
    record and was left out, 2 it is no such archive.
    """
    from gzsl_bench.cli.validate import open_plugins
    from gzsl_bench.executors.run import hold
    from gzsl_bench.records.merge import merge

    with hold(out) as store:
        done = merge(store, archive, None if no_recompute else open_plugins(plugin).metrics)
    if as_json:
        put(_json(done))
    _show(done, out)
    return 1 if done.refused else 0


@records_group.command("reproduce")
@click.argument("key")
@data_option
@plugin_option
@out_option
@device_option
@json_option
@debug_option
def reproduce_command(
    key: str, data: Path | None, plugin: tuple[Path, ...], out: Path, device: str, as_json: bool
) -> int:
    """Train the cell of one record again and compare every prediction, score and metric.

    KEY is a record's key or how it begins.  Data and method have to be those of the record, or
    nothing is trained.  Nothing is written.  Exit code: 0 the predictions are those of the record
    (it is said whether bit for bit), 1 they differ, 2 the cell cannot be trained here.
    """
    from gzsl_bench.cli.training import worker_settings
    from gzsl_bench.cli.validate import open_plugins
    from gzsl_bench.engine.again import find, reproduce, rounds_otherwise
    from gzsl_bench.engine.environment import usable_cores
    from gzsl_bench.engine.worker import Worker

    record = find(_store(out), key)
    registry, chosen = open_plugins(plugin), choose_device(device)
    settings = worker_settings(out, place(data), chosen, usable_cores(), tuple(plugin))
    about = record.provenance.hardware
    if about.get("device") != chosen:
        say(f"note: trained on {about.get('device')}, again on {chosen}")
    elif why := rounds_otherwise(record, chosen):
        say(f"note: {why}")
    worker = Worker(registry, settings, lambda event: None)
    title = f"{record.dataset} · {record.label} · seed {record.seed}"
    with Clock(f"training {title} again", announce=False) as clock:
        found = reproduce(worker, record, clock.progress)
    if (others := len(record.provenance.trained) - 1) > 0:
        say(f"note: the record was trained as one with {others} more, now alone: scores may be"
            " rounded otherwise")  # fmt: skip
    if as_json:
        plain = {"key": record.key, "equal": found.equal} | asdict(found)
        put(json.dumps(plain, indent=1))
    put(f"{record.key} ({title}): {found.words}", err=as_json)
    return 0 if found.same_predictions else 1


def _show(done: Merged, out: Path) -> None:
    _lines([f"left out: {problem}" for problem in done.refused], err=True)
    _lines(
        [f"kept ours of {key}; different: {'; '.join(d)}" for key, d in done.differing.items()],
        err=True,
    )
    records = [key for key in done.differing if "/" not in key]
    say(
        f"{counted(done.added, 'record')} added, {done.known} there before, {len(records)} there"
        f" with other content, {len(done.refused)} left out"
    )
    if done.believed:
        say(f"warning: not computed again here, only believed: {', '.join(sorted(done.believed))}")
    if done.suites:
        again = shlex.join(["gzsl-bench", "table", done.suites[0], "--out", str(out)])
        say(f"suites: {', '.join(done.suites)}; next: {again}")


def _json(found: Findings | Merged) -> str:
    plain = asdict(found)
    return json.dumps(plain | {"believed": sorted(plain["believed"])}, indent=1)


def _store(out: Path) -> RecordStore:
    """The records of a folder in which there was a run.

    Raises:
        RecordError: there was none.
    """
    from gzsl_bench.errors import RecordError
    from gzsl_bench.records.store import RecordStore

    if not out.is_dir():
        raise RecordError(f"there is no results folder {out}; name one with --out")
    store = RecordStore(out)
    if not (store.layout.cells.is_dir() or store.layout.journal.exists()):
        raise RecordError(f"{out} holds no records; name a results folder with --out")
    return store


def _lines(lines: list[str], err: bool = False) -> None:
    for line in lines[:_SHOWN]:
        put(line, err=err)
    if len(lines) > _SHOWN:
        put(f"... and {len(lines) - _SHOWN} more (--json lists all)", err=err)


def _describe(entry: Leftover, out: Path) -> dict[str, str | int]:
    return {
        "kind": entry.kind,
        "path": str(entry.path.relative_to(out)),
        "bytes": entry.size,
    }


def _bytes(size: int) -> str:
    """``3.4 MB``."""
    if size < 1000:
        return f"{size} bytes"
    count = size / 1000
    for unit in ("kB", "MB"):
        if count < 1000:
            return f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
