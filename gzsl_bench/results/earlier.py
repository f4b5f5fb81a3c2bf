"""Other versions of a suite in the same results folder: what ran before its file was edited."""

from __future__ import annotations

from gzsl_bench.records.suites import versions
from gzsl_bench.results.view import Results
from gzsl_bench.wording import counted


def earlier(results: Results) -> list[str]:
    """A sentence for each other version: how much of it has run, and how it is called."""
    own = {cell.key for cell in results.suite.cells}
    found = []
    for name, suite in versions(results.store.layout, results.suite).items():
        keys = {cell.key for cell in suite.cells}
        done = {key for key in keys if results.store.finished(key)}
        found.append(
            f"another version of this suite, from before its file was edited, is kept as {name}:"
            f" finished are {len(done)} of its {counted(len(keys), 'cell')}, {len(done & own)} of"
            f" which this version has, too; gzsl-bench table {name} shows it"
        )
    return found
