"""Results as data frames, each line with all that says what its numbers are of."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import GzslBenchError, RecordError, SuiteError, unknown_name
from gzsl_bench.report import compare as comparing
from gzsl_bench.report import table as tables
from gzsl_bench.report.samples import sample, with_intervals
from gzsl_bench.report.versus import flat
from gzsl_bench.results import view
from gzsl_bench.results.identity import differences
from gzsl_bench.results.rows import NO_RULE, Row, rows
from gzsl_bench.scoring.axes import position
from gzsl_bench.scoring.rules import Unchosen

if TYPE_CHECKING:
    import pandas as pd

    from gzsl_bench.records.record import Record
    from gzsl_bench.suite.cells import Cell


class Results:
    """The results of a suite; ``gzsl_bench.run`` and ``gzsl_bench.load`` give it.

    Every frame says in each line which data (``dataset``, ``features``, ``attributes``,
    ``fingerprint``), method (``method``, ``label``, ``version``, ``source``, ``fidelity``),
    ``preprocessing``, ``setting`` and ``precision`` its numbers are of; shares are in percent.
    Where lines of one data set were not measured on the same thing (another content, feature set,
    embedding, precision or setting under one label) asking for a frame raises, unless
    ``mixed=True`` says that they are wanted side by side.

    Args:
        found: what is known of the suite.

    Attributes:
        view: the same, as other parts of the program have it.
    """

    def __init__(self, found: view.Results) -> None:
        self.view = found

    def table(
        self, rule: str | None = None, *, intervals: bool = False, mixed: bool = False
    ) -> pd.DataFrame:
        """A line per data set, method and selection rule: what ``gzsl-bench table`` prints.

        Args:
            rule: only by this one, ``val`` say; methods without numbers are by every rule.
            intervals: with 95 % intervals over seeds and classes (``..._low``, ``..._high``).
            mixed: allow lines that are not comparable.

        Raises:
            SuiteError: the suite has no such rule, or lines are not comparable.
        """
        table = self._rows(rule, mixed)
        if intervals:
            table = with_intervals(table, self.view)
        return _frame([tables.flat(row) for row in table])

    def cells(self, *, mixed: bool = False) -> pd.DataFrame:
        """A line per training, folds among them: ``status`` (None: not run), cause, cost, key."""
        self._rows(None, mixed)
        lines = []
        for cell in self._cells():
            record = self.view.record(cell.key)
            lines.append(_identity(cell) | _outcome(record))
        return _frame(lines)

    def checkpoints(self, *, mixed: bool = False) -> pd.DataFrame:
        """A line per checkpoint of every training: its metrics, and the rules that choose it.

        Where a method has axes of checkpoints each is a column (``gan_epoch``).
        """
        self._rows(None, mixed)
        lines = []
        for cell in self._cells():
            record = self.view.record(cell.key)
            if record is None or not record.complete:
                continue
            chosen = self._chosen(cell, record)
            for checkpoint in record.checkpoints:
                about = {
                    "checkpoint": checkpoint.number,
                    **position(record.axes, checkpoint.number),
                    "chosen_by": [
                        r for r, numbers in chosen.items() if checkpoint.number in numbers
                    ],
                }
                lines.append(_identity(cell) | about | dict(checkpoint.metrics))
        return _frame(lines)

    def per_class(self, rule: str | None = None, *, mixed: bool = False) -> pd.DataFrame:
        """A line per test class and seed, at the checkpoint that the rule chose.

        ``accuracy`` is that among all classes, ``zsl_accuracy`` (unseen classes only) among unseen
        ones.

        Args:
            rule: the selection rule; by default the honest one, ``val`` where the suite has it.
            mixed: allow lines that are not comparable.

        Raises:
            SuiteError: the suite has no such rule, or lines are not comparable.
            RecordError: predictions are missing or damaged.
        """
        rule = rule or self.view.suite.lead
        lines: list[dict[str, Any]] = []
        for row in self._rows(rule, mixed):
            if row.unavailable:
                continue
            found = sample(row, self.view)
            for index, (seed, key) in enumerate(zip(row.seeds, row.keys, strict=True)):
                about = _identity(self.view.cells[key][0]) | {
                    "dataset": row.dataset, "label": row.label, "seed": seed, "selection": rule,
                }  # fmt: skip
                for number, share, zsl in zip(
                    found.unseen_ids, found.unseen[index], found.zsl[index], strict=True
                ):
                    lines.append(
                        about
                        | {"class": int(number), "part": "unseen"}
                        | {"accuracy": float(share), "zsl_accuracy": float(zsl)}
                    )
                for number, share in zip(found.seen_ids, found.seen[index], strict=True):
                    lines.append(
                        about | {"class": int(number), "part": "seen", "accuracy": float(share)}
                    )
        return _frame(lines)

    def __str__(self) -> str:
        return tables.render(rows(self.view))

    def __repr__(self) -> str:
        waiting, failed = self.view.missing()
        total = len(self.view.suite.cells)
        return (
            f"<Results of {self.view.suite.name}: {total - len(waiting) - len(failed)} of {total}"
            f" cells{f', {len(failed)} failed' if failed else ''}; str() is the table>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the table and all that must stand under it."""
        return tables.render(rows(self.view), "html")

    def _cells(self) -> Iterable[Cell]:
        return self.view.suite.cells

    def _chosen(self, cell: Cell, record: Record) -> Mapping[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for rule in () if cell.fold else self.view.suite.rules:
            with contextlib.suppress(Unchosen):
                found[rule] = self.view.validation.numbers(rule, cell, record)
        return found

    def _rows(self, rule: str | None, mixed: bool) -> list[Row]:
        """The rows by one rule, or all.

        Raises:
            RecordError: the results folder is gone.
            SuiteError: there is no such rule, or they are not comparable.
        """
        if not (out := self.view.store.layout.out).is_dir():
            raise RecordError(f"the results folder {out} is gone; load the results from its place")
        known = self.view.suite.rules
        if rule is not None and rule not in known:
            raise SuiteError(unknown_name("selection rule of this suite", rule, known))
        table = [row for row in rows(self.view) if rule is None or row.selection in (rule, NO_RULE)]
        if not mixed and (found := differences(table)):
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise SuiteError(
                f"{found[0]}{more}, so they are not comparable; give the variants labels of their"
                " own, or ask with mixed=True and keep them apart by their identity columns"
            )
        return table


def compare(
    results: Results,
    a: str,
    b: str,
    *,
    rule: str | None = None,
    datasets: Sequence[str] = (),
) -> pd.DataFrame:
    """Test two methods against one another on the seeds and classes they share.

    A line per data set and metric: both means, their ``difference`` with its 95 % interval
    (``low``, ``high``), p-values over classes and over seeds, the former corrected as well
    (``p_holm``).  Data sets that cannot be compared are left out with a warning.

    Args:
        results: of a suite that has both.
        a: label (or name) of the first method.
        b: of the second.
        rule: the selection rule whose checkpoints count; by default the honest one.
        datasets: labels to limit the comparison to.

    Raises:
        SuiteError: unknown names, or nothing that can be compared.
        TypeError: ``results`` is something else, the name of a suite, say.
    """
    if not isinstance(results, Results):
        raise TypeError(f"compare takes what run or load returned, not {results!r}; load it first")
    known = results.view
    found, reasons = comparing.compare(known, a, b, rule or known.suite.lead, datasets)
    for reason in reasons:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    return _frame(flat(found))


def _identity(cell: Cell) -> dict[str, Any]:
    """What the numbers of a cell are of."""
    identity = cell.identity
    data, method = identity["dataset"], identity["method"]
    return {
        "dataset": cell.dataset,
        **{name: data[name] for name in ("features", "attributes", "fingerprint")},
        "method": cell.method,
        "label": cell.label,
        "version": method["version"],
        "source": method.get("source"),
        "fidelity": cell.about["fidelity"],
        **{name: identity[name] for name in ("preprocessing", "setting", "precision")},
        "fold": cell.fold,
        "seed": cell.seed,
        "key": cell.key,
    }


def _outcome(record: Record | None) -> dict[str, Any]:
    if record is None:
        return {"status": None}
    return {
        "status": record.status,
        "cause": record.cause,
        "checkpoints": len(record.checkpoints),
        "seconds": record.seconds_each,
        "peak_memory": record.provenance.peak_memory,
        "started": record.provenance.started,
    }


def _frame(lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A data frame.

    Raises:
        GzslBenchError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise GzslBenchError(
            "data frames need pandas; install it with: pip install 'gzsl-bench[pandas]'"
        ) from None
    return pd.DataFrame(list(lines))
