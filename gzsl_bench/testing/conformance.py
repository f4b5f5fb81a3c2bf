"""The checks as test classes: subclass one, say what to check, and pytest runs every check.

    from gzsl_bench.testing import MethodConformance

    class TestMine(MethodConformance):
        method = "mine"
        config = {"epochs": 5}

What does not apply, or cannot be made here, is reported as skipped.  Nothing here imports pytest;
it takes ``unittest.SkipTest`` for a skip.
"""

from __future__ import annotations

import functools
import unittest
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from gzsl_bench.hooks.dataset import DatasetSpec
from gzsl_bench.hooks.manager import installed
from gzsl_bench.hooks.method import MethodSpec
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.testing.datasets import DATASET_CHECKS, Loads
from gzsl_bench.testing.methods import METHOD_CHECKS, trials
from gzsl_bench.testing.metrics import METRIC_CHECKS, Values
from gzsl_bench.testing.report import FAILED, OK, Check
from gzsl_bench.testing.trials import Budget, Trials


class _Conformance:
    """One test method for each of ``checks``; they share a subject, so trainings are shared."""

    def __init_subclass__(cls, checks: Sequence[Check[Any]] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for check in checks:
            setattr(cls, f"test_{check.name}", _as_test(check))

    @classmethod
    @functools.cache
    def subject(cls) -> Any:
        """What the checks of this class look at."""
        return cls._make()

    @classmethod
    def _make(cls) -> Any:
        raise NotImplementedError


def _as_test(check: Check[Any]) -> Callable[[_Conformance], None]:
    def test(self: _Conformance) -> None:
        found = check.result(self.subject())
        assert found.outcome != FAILED, f"{found.name}: {found.reason}"
        if found.outcome != OK:
            raise unittest.SkipTest(f"{found.outcome}: {found.reason}")

    test.__doc__ = check.about
    return test


class MethodConformance(_Conformance, checks=METHOD_CHECKS):
    """Every check of a method as one test; trainings are shared within the class.

    Attributes:
        method: the name of an installed method, or a ``MethodSpec``.
        config: values that differ from the defaults; a short training that learns will do.
        device: where to train.
        budget: what one training on a tiny task may take.
    """

    method: ClassVar[MethodSpec | str]
    config: ClassVar[Mapping[str, Any]] = {}
    device: ClassVar[str] = "cpu"
    budget: ClassVar[Budget] = Budget()

    @classmethod
    def _make(cls) -> Trials:
        return trials(cls.method, cls.config, device=cls.device, budget=cls.budget)


class DatasetConformance(_Conformance, checks=DATASET_CHECKS):
    """Every check of a data set as one test.

    Attributes:
        dataset: the name of an installed data set, or a ``DatasetSpec``.
        root: the data folder, where it needs one.
        features: the feature set, by default the spec's.
        attributes: the class embedding, by default the spec's.
    """

    dataset: ClassVar[DatasetSpec | str]
    root: ClassVar[Path | None] = None
    features: ClassVar[str | None] = None
    attributes: ClassVar[str | None] = None

    @classmethod
    def _make(cls) -> Loads:
        found = installed("datasets", cls.dataset)
        return Loads(found, cls.root, cls.features, cls.attributes)


class MetricConformance(_Conformance, checks=METRIC_CHECKS):
    """Every check of a metric as one test.

    Attributes:
        metric: the name of an installed metric, or a ``MetricSpec``.
    """

    metric: ClassVar[MetricSpec | str]

    @classmethod
    def _make(cls) -> Values:
        return Values(installed("metrics", cls.metric))
