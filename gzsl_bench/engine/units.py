"""Units: cells trained together in one process."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gzsl_bench.suite.cells import Cell, digest

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry


#: Most runs in one unit; on a GPU it is measured how many of them the memory holds.
MOST_RUNS = 32


@dataclass(frozen=True)
class Unit:
    """Cells that share data, method and everything but seed and stackable configuration.

    Attributes:
        name: short hash of the cells' keys.
        cells: trained together, in this order.
    """

    name: str
    cells: tuple[Cell, ...]

    @property
    def claims(self) -> tuple[str, ...]:
        """What nobody else may work on while this unit is being trained: its cells' keys."""
        return tuple(cell.key for cell in self.cells)

    def part(self, claims: Collection[str]) -> Unit:
        """The unit with some of its claims, in its own order."""
        return replace(self, cells=tuple(cell for cell in self.cells if cell.key in claims))

    def alone(self, claims: Collection[str]) -> Unit:
        """The unit with some of its claims, as a unit of its own."""
        part = self.part(claims)
        return replace(part, name=digest({"part of": self.name, "cells": list(part.claims)})[:12])

    @property
    def title(self) -> str:
        """``CUB · ACMR · seed 0`` or ``CUB · ACMR · 5 runs``."""
        first = self.cells[0]
        if len(self.cells) == 1:
            return first.title
        return " · ".join([*first.place, f"{len(self.cells)} runs"])


def plan(cells: Sequence[Cell], registry: Registry, stack: int) -> list[Unit]:
    """Group the cells of a whole suite into units, in the suite's order.

    The grouping looks at the suite alone, not at what has already run, so a resumed suite trains in
    the company it would have had.

    Args:
        cells: all cells of the suite; cells with the same key are trained once.
        registry: says which methods train several runs at once.
        stack: most runs per unit; 1 on a CPU, where methods that stack there have ``MOST_RUNS``.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in {c.key: c for c in reversed(cells)}.values():
        groups.setdefault(_company(cell, registry, stack > 1), []).append(cell)
    order = {cell.key: index for index, cell in reversed(list(enumerate(cells)))}
    units = []
    for group in groups.values():
        group.sort(key=lambda c: order[c.key])
        most = stack if stack > 1 else MOST_RUNS
        for start in range(0, len(group), most):
            chunk = tuple(group[start : start + most])
            units.append(Unit(digest({"cells": [c.key for c in chunk]})[:12], chunk))
    return sorted(units, key=lambda u: order[u.cells[0].key])


def unfinished(units: Iterable[Unit], finished: set[str]) -> list[Unit]:
    """Units with the cells that still have to run; a unit of finished cells is dropped."""
    rest = []
    for unit in units:
        cells = tuple(cell for cell in unit.cells if cell.key not in finished)
        if cells:
            rest.append(replace(unit, cells=cells))
    return rest


def _company(cell: Cell, registry: Registry, stacks: bool) -> str:
    """Cells with the same value may be trained together."""
    from gzsl_bench.hooks.config import stackable_fields
    from gzsl_bench.hooks.method import BatchedMethod

    factory = registry.methods[cell.method].factory
    if not issubclass(factory, BatchedMethod) or not (stacks or factory.stacks_on_cpu):
        return cell.key
    loose = stackable_fields(factory.Config)
    identity = {name: value for name, value in cell.identity.items() if name != "seed"}
    method = dict(identity["method"])
    method["config"] = {n: v for n, v in method["config"].items() if n not in loose}
    return digest({**identity, "method": method})
