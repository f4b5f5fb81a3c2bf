"""Data sets and methods of a suite, as a user names them."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_bench.errors import SuiteError, unknown_name
from gzsl_bench.suite.resolved import ResolvedSuite


def chosen_datasets(names: Sequence[str], suite: ResolvedSuite) -> list[str]:
    """The labels that were asked for; all of the suite's where none was.

    Raises:
        SuiteError: the suite has no such data set.
    """
    known = list(dict.fromkeys(cell.dataset for cell in suite.cells))
    for name in names:
        if name not in known:
            raise SuiteError(unknown_name("data set of this suite", name, known))
    return list(names) or known


def method_label(name: str, suite: ResolvedSuite) -> str:
    """The label that a label or an unambiguous method name stands for.

    Raises:
        SuiteError: nothing, or several labels, are called so.
    """
    labels = dict.fromkeys(cell.label for cell in suite.cells)
    if name in labels:
        return name
    of_method = dict.fromkeys(cell.label for cell in suite.cells if cell.method == name)
    if len(of_method) == 1:
        return next(iter(of_method))
    if of_method:
        raise SuiteError(f"{name!r} stands for several rows: say {' or '.join(of_method)}")
    raise SuiteError(unknown_name("method of this suite", name, labels))
