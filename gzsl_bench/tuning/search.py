"""The candidates of a search, all of them before anything is trained; Optuna draws random ones.

Grid and random search look at no result, so all candidates are known at once: they are trained side
by side or as one, and a search that is begun again asks for the same ones.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import GzslBenchError
from gzsl_bench.suite.space import Interval, SearchKind, size

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Candidate = dict[str, Any]

#: Fixed, so that the same suite has the same candidates, and more trials only add some.
_SEED = 0
#: Draws in vain, one after the other, before a space counts as used up.
_PATIENCE = 10_000
#: Digits of a drawn number, at least: what is written and shown is then what was trained.
_DIGITS = 4


def require() -> None:
    """Make sure that Optuna is there and silent.

    Raises:
        GzslBenchError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise GzslBenchError(
            "tune needs Optuna, which is not installed: pip install 'gzsl-bench[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def candidates(
    parts: Mapping[str, list[Any] | Interval], kind: SearchKind, trials: int | None
) -> list[Candidate]:
    """What is tried: a grid's combinations as they are listed, or different random draws.

    Args:
        parts: the space; lists only, for a grid.
        kind: of search.
        trials: how many draws; no part of a grid.

    Returns:
        Values by field; fewer than ``trials`` if there are no more.
    """
    require()
    if kind == "grid":
        lists = (part for part in parts.values() if isinstance(part, list))
        return [dict(zip(parts, values, strict=True)) for values in itertools.product(*lists)]
    wanted = min(trials or 0, size(parts))
    found: dict[str, Candidate] = {}
    vain = 0
    for drawn in _draws(parts):
        if len(found) >= wanted or vain >= _PATIENCE:
            break
        mark = json.dumps(drawn, sort_keys=True, default=str)
        vain = vain + 1 if mark in found else 0
        found.setdefault(mark, drawn)
    return list(found.values())


def _draws(parts: Mapping[str, list[Any] | Interval]) -> Iterator[Candidate]:
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=_SEED))
    forms = _distributions(parts)
    while True:
        asked = study.ask(forms).params
        yield {name: _value(part, asked[name]) for name, part in parts.items()}


def _distributions(parts: Mapping[str, list[Any] | Interval]) -> dict[str, BaseDistribution]:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, BaseDistribution] = {}
    for name, part in parts.items():
        if isinstance(part, list):
            found[name] = CategoricalDistribution(list(range(len(part))))
        elif part.whole:
            found[name] = IntDistribution(int(part.low), int(part.high), log=part.log)
        else:
            found[name] = FloatDistribution(part.low, part.high, log=part.log)
    return found


def _value(part: list[Any] | Interval, asked: Any) -> Any:
    if isinstance(part, list):
        return part[asked]
    if part.whole:
        return int(asked)
    # Low and high of a narrow range begin alike: digits that they share tell no two draws apart.
    shared = int(math.log10(max(-part.low, part.high) / (part.high - part.low)))
    rounded = float(f"{asked:.{_DIGITS + max(0, shared)}g}")
    return min(max(rounded, part.low), part.high)
