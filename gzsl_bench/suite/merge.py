"""Several partial runs of one suite file, as one resolved suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gzsl_bench.suite.cells import EXTERNAL, Cell
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.suite.sweep import variants


def answered_anew(old: ResolvedSuite, new: ResolvedSuite) -> list[Cell]:
    """Cells of ``old`` that new answers from outside take the place of, whatever their seeds.

    A row is made of one call's files: two sets of answers under one label may be of two states of
    the method.
    """
    anew = {(*_data(c), c.label) for c in new.cells if c.about["fidelity"] == EXTERNAL}
    return [
        c for c in old.cells if c.about["fidelity"] == EXTERNAL and (*_data(c), c.label) in anew
    ]


def _data(c: Cell) -> tuple[Any, ...]:
    axes = (c.request.get(name) for name in ("features", "attributes", "regions", "second"))
    return (c.dataset, *axes)


def merge(old: ResolvedSuite | None, new: ResolvedSuite) -> ResolvedSuite:
    """What the results folder remembers of a suite after several partial runs of one file.

    Cells of the same file that an earlier run resolved (other ``--only`` or ``--seeds``) stay;
    where both resolved the same place, the newer one counts.  An edited file starts afresh.
    """
    if old is None or old.text != new.text:
        return new

    def place(c: Cell) -> tuple[Any, ...]:
        return (*_data(c), c.label, c.fold, c.seed)

    taken = {place(c) for c in new.cells}
    kept = [c for c in old.cells if place(c) not in taken]

    def variant(d: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(d.get(name) for name in ("label", "features", "attributes", "regions"))

    known = {variant(d) for d in new.datasets}
    datasets = [d for d in old.datasets if variant(d) not in known]
    return replace(
        new,
        cells=_in_file_order([*kept, *new.cells], new.text) if kept else new.cells,
        datasets=(*datasets, *new.datasets),
    )


def _in_file_order(cells: Sequence[Cell], text: str) -> tuple[Cell, ...]:
    """Sorted as the suite file lists data sets and methods, then by seed."""
    from gzsl_bench.data.yamlfile import yaml_value

    content = yaml_value(text)

    def labels(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [
            v.label for v in variants(entry.get("label") or entry["use"], {}, entry.get("sweep"))
        ]

    def places(entries: Sequence[Any]) -> dict[str, int]:
        names = dict.fromkeys(name for entry in entries for name in labels(entry))
        return {name: place for place, name in enumerate(names)}

    datasets, methods = places(content["datasets"]), places(content["methods"])
    return tuple(
        sorted(
            cells,
            key=lambda c: (
                datasets.get(c.dataset, len(datasets)),
                methods.get(c.label, len(methods)),
                c.fold,
                c.seed,
            ),
        )
    )
