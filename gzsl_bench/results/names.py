"""Data sets and methods of a suite, as a user names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gzsl_bench.errors import SuiteError, unknown_name
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolved import ResolvedSuite

#: In what entries of one label may differ, as a cell's request names it.
_FORMS = ("use", "features", "attributes", "regions", "second")


class DataNames:
    """What to call the data set of a cell: entries of a suite may share a label.

    Args:
        cells: among which a name must tell data sets apart.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._forms: dict[tuple[str, str], set[tuple[str, ...]]] = {}
        for cell in cells:
            self._forms.setdefault((cell.dataset, cell.label), set()).add(_form(cell))

    def of(self, cell: Cell) -> str:
        """The label; where a method has several data sets of it, with what tells them apart."""
        mine = _form(cell)
        met = zip(*self._forms[cell.dataset, cell.label], strict=True)
        apart = [own or "none" for own, all_ in zip(mine, met, strict=True) if set(all_) != {own}]
        return f"{cell.dataset} ({', '.join(apart)})" if apart else cell.dataset


def _form(cell: Cell) -> tuple[str, ...]:
    return (*(cell.request.get(name, "") for name in _FORMS), cell.identity["preprocessing"])


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
