"""``gzsl-bench records submit``, ``check`` and ``init``: a repository of results of many people."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli.options import (
    Parsed,
    choose_device,
    data_option,
    debug_option,
    device_option,
    json_option,
    place,
    plugin_option,
)
from gzsl_bench.executors.limits import parse_duration
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gzsl_bench.records.submissions import Checked, Repository

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("submit")
@click.argument("results", type=_FOLDER)
@click.option("--to", "clone", metavar="CLONE", type=_FOLDER, required=True,
              help="Clone of the results repository.")  # fmt: skip
@click.option("--name", help="What the submission is called: a folder's name.")
@click.option("--who", help="Whose results these are.")
@click.option("--contact", help="An address that answers: a web page, or mail.")
@click.option("--text", default="", help="Whatever else is to be said of them.")
@click.option("--suite", metavar="SUITE", help="Only the records of this suite.")
@click.option("--commit", is_flag=True, help="Commit it, on a branch of its own.")
@plugin_option
@debug_option
def submit_command(
    results: Path,
    clone: Path,
    name: str | None,
    who: str | None,
    contact: str | None,
    text: str,
    suite: str | None,
    commit: bool,
    plugin: tuple[Path, ...],
) -> None:
    """Add the finished records of the results folder RESULTS to a clone of a results repository.

    They come to lie in submissions/NAME, checked before as `records verify --deep` does.  The same
    records give the same files; a submission may grow, and what stands in it stays.  Outcomes of
    audits are left out.  Without --commit the commands of git that follow are printed.
    """
    from gzsl_bench.cli.validate import open_plugins
    from gzsl_bench.errors import RecordError
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.submissions import Repository
    from gzsl_bench.records.submit import submit
    from gzsl_bench.submissions import clone as git

    if not name or not who or not contact:
        raise click.UsageError(
            "a submission has a --name, and says --who made it and how to --contact them"
        )
    if not results.is_dir():
        raise RecordError(f"there is no results folder {results}")
    repository = Repository.at(clone)
    repository.submission(name)
    git.refuse_dirty(clone, name)
    done = submit(
        RecordStore(results), repository, name,
        who=who, contact=contact, text=text, suite=suite, metrics=open_plugins(plugin).metrics,
    )  # fmt: skip
    failed = f"; without {counted(done.failed, 'failed cell')}" if done.failed else ""
    written = counted(len(done.changed), "file")
    changed = f"{written} written" if done.changed else "nothing has changed"
    say(f"{done.folder}: {counted(done.records, 'record')}, {changed}{failed}")
    for large in done.large:
        say(f"warning: {large} is larger than 100 MiB, which many hosts of git refuse")
    if commit:
        new = git.commit(clone, name)
        say(f"{'committed to' if new else 'nothing to commit to'} the branch {git.branch(name)}")
    for line in git.commands(clone, name, committed=commit):
        put(shlex.join(line))


@click.command("check")
@click.argument("clone", type=_FOLDER)
@click.option("--only", metavar="NAME", multiple=True, help="This submission; may be repeated.")
@click.option("--since", metavar="REVISION", help="Submissions that changed since a revision.")
@click.option(
    "--retrain", type=click.IntRange(0, 1000), default=0, show_default=True, metavar="N",
    help="Train N seeds of each row again: of a data set, method, configuration and fold.",
)  # fmt: skip
@click.option(
    "--limit", type=Parsed("duration", parse_duration), metavar="DURATION",
    help="Give a training up that takes longer, as 90s, 15m or 2h.",
)  # fmt: skip
@click.option(
    "--write", is_flag=True, help="Write what was found to checked/ (the repository's CI)."
)
@data_option
@plugin_option
@device_option
@json_option
@debug_option
def check_command(
    clone: Path,
    only: tuple[str, ...],
    since: str | None,
    retrain: int,
    limit: float | None,
    write: bool,
    data: Path | None,
    plugin: tuple[Path, ...],
    device: str,
    as_json: bool,
) -> int:
    """Check the submissions of the results repository CLONE; nothing that they claim is believed.

    Every file is read as `records import` reads an archive, every metric computed again; data,
    split, fold, method, version and configuration are compared with those of this machine, seeds
    with each other, and some are trained again.  Each record is then `reproduced`, `recomputed`,
    `as submitted`, `not reproduced` or `refused` (docs/submissions.md).  Exit code: 0 nothing was
    refused and nothing came out otherwise, 1 something was or did, 2 it is no results repository.
    """
    from gzsl_bench.cli.training import worker_settings
    from gzsl_bench.cli.validate import open_plugins
    from gzsl_bench.engine.environment import usable_cores
    from gzsl_bench.engine.worker import Worker
    from gzsl_bench.errors import RecordError
    from gzsl_bench.records.submissions import Repository
    from gzsl_bench.submissions.check import Retraining, check, plain, predictions_of

    repository = Repository.at(clone)
    names, brought = _chosen(repository, only, since)
    registry, chosen = open_plugins(plugin), choose_device(device)
    where = place(data)
    if where.root is not None and where.root.resolve().is_relative_to(clone.resolve()):
        raise RecordError(
            f"the data folder {where.root} lies in the clone, so a submission could bring its own:"
            " name another one with --data"
        )
    settings = worker_settings(clone, where, chosen, usable_cores(), tuple(plugin))
    worker = Worker(registry, settings, lambda event: None)
    retraining = Retraining(retrain, limit, lambda title: say(f"  trained again: {title}"))
    known: dict[str, tuple[str, str]] = {}
    for name in sorted(set(repository.names) - set(names)):
        before = repository.checked(name)
        known = (predictions_of(name, before) if before else {}) | known
    found: dict[str, Checked] = {}
    for index, name in enumerate(names, start=1):
        say(f"{plain(name)} ({index} of {len(names)})")
        found[name] = check(repository, name, worker, retraining, known)
        known = predictions_of(name, found[name]) | known
        if write:
            repository.write_checked(name, found[name])
    if write:
        repository.forget_gone()
    _show(found, as_json)
    for name in repository.misnamed:
        say(f"submissions/{plain(name)} has no name of a submission, and counts for nothing")
    for name in brought:
        say(
            f"checked/{plain(name)}.json came along, and only this repository's own checks write"
            " there"
        )
    sound = all(one.sound for one in found.values())
    return 0 if sound and not brought and not repository.misnamed else 1


@click.command("init")
@click.argument("folder", type=_FOLDER)
@debug_option
def init_command(folder: Path) -> None:
    """Write the files of a new results repository to FOLDER: a README and the workflow that checks.

    Its requirements.txt names what is installed to check, this version of gzsl-bench.
    """
    from gzsl_bench.records.submissions import Repository

    Repository.create(folder)
    say(f"{folder} is a results repository; commit it, and let its branch be called main")


def _chosen(
    repository: Repository, only: Iterable[str], since: str | None
) -> tuple[list[str], list[str]]:
    """The submissions to check, and those whose verdict came with a change.

    Raises:
        RecordError: there is no such submission, or no such revision.
    """
    from gzsl_bench.errors import RecordError, unknown_name
    from gzsl_bench.submissions.clone import touched

    there, wanted = repository.names, list(dict.fromkeys(only))
    for name in wanted:
        if name not in there:
            raise RecordError(unknown_name("submission", name, there))
    if since is None:
        return wanted or there, []
    changed = set(touched(repository.root, since))
    names = {name for _, name in changed} & set(there)
    brought = sorted(name for part, name in changed if part == "checked")
    return sorted(names & set(wanted) if wanted else names), brought


def _show(found: dict[str, Checked], as_json: bool) -> None:
    from gzsl_bench import markdown
    from gzsl_bench.records.submissions import NOT_REPRODUCED, REFUSED, STATUSES
    from gzsl_bench.submissions.check import plain

    if as_json:
        put(json.dumps({name: asdict(one) for name, one in found.items()}, indent=1))
    else:
        lines = [
            [plain(name), *(str(one.count(s)) for s in STATUSES)] for name, one in found.items()
        ]
        put(markdown.table(["Submission", *STATUSES], lines))
    for name, one in ((plain(name), one) for name, one in found.items()):
        for sentence in one.refused:
            say(f"{name}: refused: {sentence}")
        for key, verdict in one.records.items():
            if verdict.status in (REFUSED, NOT_REPRODUCED) and verdict.why not in one.refused:
                say(f"{name}/{key}: {verdict.status}: {verdict.why}")
