"""``gzsl-bench cite``: what to cite for a suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import data_option, debug_option, out_option, place, plugin_option
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.suite.load import LoadedSuite
    from gzsl_bench.suite.resolved import ResolvedSuite


@click.command("cite")
@click.argument("suite", type=click.Path(path_type=Path), shell_complete=complete.suites)
@data_option
@plugin_option
@out_option
@debug_option
def cite_command(suite: Path, data: Path | None, plugin: tuple[Path, ...], out: Path) -> None:
    """Print BibTeX for SUITE: its methods, data sets and their splits, backbones, this program.

    SUITE is a file, the name of a shipped suite, or that of one in the results folder.  Needs no
    data.  Predictions of other code that were scored for the suite in the results folder are among
    them.
    """
    from gzsl_bench.cli.validate import open_plugins, open_suite
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.records.suites import known, recall
    from gzsl_bench.report.citations import bibtex, works
    from gzsl_bench.suite.shipped import shipped

    where = place(data)
    name = str(suite)
    if not suite.is_file() and name not in shipped() and name in known(Layout(out)):
        uses = list(_recalled(recall(Layout(out), name), open_plugins(plugin), where.root))
    else:
        loaded, registry = open_suite(suite, where.root, plugin)
        uses = [*_used(loaded, registry, where.root), *_outside(loaded, out)]
    put(bibtex(works(uses)))
    for what, line in uses:
        if not line:
            say(f"note: nobody says what to cite for {what}")


def _used(loaded: LoadedSuite, registry: Registry, root: Path | None) -> Iterator[tuple[str, str]]:
    """Methods, data sets and backbones, each with its citation."""
    from gzsl_bench.report.citations import backbone
    from gzsl_bench.suite.datasets import dataset_spec

    for method in loaded.suite.methods:
        yield f"method {method.name}", registry.methods[method.use].citation
    backbones: dict[str, str] = {}
    for entry in loaded.suite.datasets:
        spec = dataset_spec(registry, entry.use, root)
        yield f"data set {entry.name}", spec.citation
        features = entry.features or spec.features
        backbones[f"features {features}"] = backbone(features)
    yield from ((what, line) for what, line in backbones.items() if line)


def _recalled(
    suite: ResolvedSuite, registry: Registry, root: Path | None
) -> Iterator[tuple[str, str]]:
    """The same of a suite whose file may be gone: what its records say of methods."""
    from gzsl_bench.errors import SuiteError
    from gzsl_bench.report.citations import backbone
    from gzsl_bench.suite.datasets import dataset_spec

    methods = {cell.label: str(cell.about.get("citation") or "") for cell in suite.cells}
    yield from ((f"method {label}", line) for label, line in methods.items())
    for entry in suite.datasets:
        try:
            citation = dataset_spec(registry, entry["name"], root).citation
        except (KeyError, SuiteError):
            citation = ""  # its plugin is not here
        yield f"data set {entry['label']}", citation
    backbones = {f"features {e['features']}": backbone(e["features"]) for e in suite.datasets}
    yield from ((what, line) for what, line in backbones.items() if line)


def _outside(loaded: LoadedSuite, out: Path) -> Iterator[tuple[str, str]]:
    """Methods whose predictions were scored for the suite."""
    from gzsl_bench.errors import RecordError
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.records.suites import recall
    from gzsl_bench.suite.cells import EXTERNAL

    try:
        cells = recall(Layout(out), str(loaded.file.path)).cells
    except RecordError:
        return  # nothing of it has run here
    found = {c.label: str(c.about.get("citation") or "") for c in cells
             if c.about["fidelity"] == EXTERNAL}  # fmt: skip
    yield from ((f"method {label}", line) for label, line in found.items())
