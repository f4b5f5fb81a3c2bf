"""``gzsl-bench score`` and ``gzsl-bench export-task``: methods that are no plugins take part."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import data_option, debug_option, out_option, place, plugin_option
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.suite.cells import Cell
    from gzsl_bench.suite.datasets import Found
    from gzsl_bench.suite.load import LoadedSuite

#: In place of files: write a template.
_NEW = "new"
_suite_option = click.option(
    "--suite",
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=complete.suites,
    help="The suite whose data sets are answered: a file, or the name of one that comes along.",
)
_dataset_option = click.option(
    "--dataset", metavar="NAME", help="Data set of the suite [default: the only one, or all]."
)


@click.command("score")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_suite_option
@click.option("--method", metavar="LABEL", help="What tables call the method.")
@_dataset_option
@click.option(
    "--fold",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Validation fold that files answer which do not say so themselves; 0 is the real task.",
)
@click.option("--citation", default="", metavar="TEXT", help="The method's publication.")
@click.option("--version", default="external", metavar="TEXT", help="Of the method's code.")
@click.option(
    "--setting",
    type=click.Choice(["inductive", "transductive"]),
    default="inductive",
    show_default=True,
    help="transductive: it was trained with test features.",
)
@data_option
@plugin_option
@out_option
@debug_option
def score_command(
    files: tuple[Path, ...],
    suite: Path,
    method: str | None,
    dataset: str | None,
    fold: int,
    citation: str,
    version: str,
    setting: str,
    data: Path | None,
    plugin: tuple[Path, ...],
    out: Path,
) -> None:
    """Record predictions that were made elsewhere: FILES of one method, as .npz.

    A file for each seed, and for each validation fold where there are some: without them `val` and
    calibration have nothing to choose by.  All files of a method come in one call.  `score new
    FILE` writes one to fill in.  Tables name these rows "trained elsewhere, selection not audited"
    (docs/outside.md).
    """  # fmt: skip
    from gzsl_bench.cli.training import command_line
    from gzsl_bench.engine.environment import versions
    from gzsl_bench.engine.outside.scored import Outsider, scored, suite_with
    from gzsl_bench.engine.program import program, started_in
    from gzsl_bench.executors.run import hold
    from gzsl_bench.records.record import Provenance
    from gzsl_bench.records.suites import current, remember
    from gzsl_bench.suite.merge import answered_anew

    loaded, registry, found = _data(suite, data, plugin, dataset)
    if files[0] == Path(_NEW):
        _write_template(files[1:], found, fold)
        return
    if not method:
        raise click.UsageError("say with --method what tables call it")
    about = Provenance(
        started=datetime.now(UTC).replace(microsecond=0),
        seconds=0.0,
        versions=versions(),
        command=command_line(),
        program=program(),
        started_in=started_in(Path.cwd()),
    )
    outsider = Outsider(method, citation, version, setting)
    cells, records = scored(files, found, outsider, registry, about, dataset, fold)
    answered = [each for each in found if any(c.dataset == each.entry.name for c in cells)]
    resolved = suite_with(loaded, answered, cells)
    with hold(out) as store:
        new = sum(store.commit(each.record, each.arrays) for each in records)
        earlier = answered_anew(current(store.layout, resolved), resolved)
        remember(store.layout, resolved)
    for text in _left(earlier, cells):
        say(f"warning: {text}")
    names = ", ".join(each.entry.name for each in answered)
    again = shlex.join(["gzsl-bench", "table", resolved.name, "--out", str(out)])
    say(f"{counted(len(cells), 'cell')} of {method} on {names}, {new} new; next: {again}")


def _left(earlier: Sequence[Cell], cells: Sequence[Cell]) -> list[str]:
    """Sentences about answers of an earlier call that nothing of this one stands for."""
    taken = {(cell.dataset, cell.fold, cell.seed) for cell in cells}
    left = [cell for cell in earlier if (cell.dataset, cell.fold, cell.seed) not in taken]
    return [
        f"{', '.join(cell.title for cell in left if cell.dataset == name)}: answered by an earlier"
        " call, so no longer in the table, whose rows are made of one call's files each; name those"
        " files beside these to have them in the row"
        for name in dict.fromkeys(cell.dataset for cell in left)
    ]


def _write_template(files: Sequence[Path], found: Sequence[Found], fold: int) -> None:
    """``score new FILE``: the file of one task, its scores to be filled in.

    Raises:
        UsageError: not one file, or not one task, was named.
    """
    from gzsl_bench.engine.outside.question import questions
    from gzsl_bench.engine.outside.sheet import template

    if len(files) != 1:
        raise click.UsageError("score new takes the name of one file")
    asked = [question for each in found for question in questions(each)]
    mine = [question for question in asked if question.fold == fold]
    if len(mine) != 1:
        named = ", ".join(dict.fromkeys(each.entry.name for each in found))
        folds = ", ".join(str(each) for each in sorted({each.fold for each in asked}))
        raise click.UsageError(
            "score new writes one file: name a data set of the suite with --dataset"
            f" ({named}), and a --fold that it has ({folds})"
        )
    template(files[0], mine[0])
    put(f"{files[0]}: {mine[0].title}, {len(mine[0].images)} test rows,"
        f" {mine[0].classes} classes; scores are to be filled in")  # fmt: skip


@click.command("export-task")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@_suite_option
@_dataset_option
@click.option(
    "--preprocessing",
    metavar="NAME",
    help="What is done to features [default: what the suite's entry of the data set says, or"
    " none].",
)
@data_option
@plugin_option
@debug_option
def export_task_command(
    folder: Path,
    suite: Path,
    dataset: str | None,
    preprocessing: str | None,
    data: Path | None,
    plugin: tuple[Path, ...],
) -> None:
    """Write the tasks of a suite to DIR for code that is no plugin: DIR/DATASET/task.npz.

    Training features and labels, class embeddings, and the test features, shuffled and without
    labels; the validation folds of a suite that has some as fold-1.npz and so on.  `gzsl-bench
    score` takes the answers (docs/outside.md).
    """
    from gzsl_bench.engine.outside.question import questions

    _, _, found = _data(suite, data, plugin, dataset)
    ways = [_way(each, preprocessing) for each in found]
    for each, way in zip(found, ways, strict=True):
        for question in questions(each):
            name = f"fold-{question.fold}.npz" if question.fold else "task.npz"
            path = folder / each.entry.name / name
            question.export(path, way)
            put(str(path))


def _way(found: Found, asked: str | None) -> str:
    """What is done to the features of a data set.

    Raises:
        SuiteError: nothing is called so, or it sees the test set and folds are to choose.
    """
    from gzsl_bench.data.tasks import preprocessing
    from gzsl_bench.errors import SuiteError

    name = asked or found.entry.preprocessing or "none"
    if preprocessing(name).leaks:
        if found.folds:
            raise SuiteError(
                f"the preprocessing {name!r} sees the test set, so it cannot be combined with the"
                f" validation folds of {found.entry.name}; take a suite without, or another one"
            )
        say(
            f"warning: {found.entry.name}: the preprocessing {name!r} sees the test set: score the"
            " answers with --setting transductive"
        )
    return name


def _data(
    suite: Path, data: Path | None, plugin: tuple[Path, ...], dataset: str | None
) -> tuple[LoadedSuite, Registry, list[Found]]:
    """The suite, the plugins, and its data sets, or the one that is wanted."""
    from gzsl_bench.cli.validate import open_suite
    from gzsl_bench.suite.datasets import Filter, find_data, refuse_twins

    where = place(data)
    loaded, registry = open_suite(suite, where.root, plugin)
    only = Filter(frozenset([dataset] if dataset else ()))
    refuse_twins(loaded, only, "tasks and answers of one could not be told from those of the other")
    return loaded, registry, list(find_data(loaded, registry, where, only))
