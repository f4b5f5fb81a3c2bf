"""Calling a method: the one place where the rules of ``fit`` and ``fit_batch`` are enforced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.method import BatchedMethod, Method
from gzsl_bench.hooks.run import Run

if TYPE_CHECKING:
    from gzsl_bench.hooks.task import Task


class TaskChanged(PluginError):
    """A method changed the tensors of its task, which others train on too."""


def fit_runs(factory: type[Method], task: Task, runs: Sequence[Run]) -> list[Exception | None]:
    """Train ``runs`` together and take their last scorers as checkpoints.

    Args:
        factory: the method; made with the first run's configuration.
        task: the task, on the device.
        runs: several for a batched method only.

    Returns:
        For every run, what went wrong with its last scorer, or None.  Runs that were given up say
        so themselves (``run.failure``).

    Raises:
        TaskChanged: the method changed the task's tensors in place.
        PluginError: it returned another number of scorers than there are runs.
        Exception: whatever the method raises.
    """
    from gzsl_bench.stacked.precision import arithmetic

    method = factory(runs[0].config)
    before = _versions(task)
    with arithmetic(runs[0].precision):
        if isinstance(method, BatchedMethod):
            scorers = list(method.fit_batch(task, runs) or [None] * len(runs))
        else:
            scorers = [method.fit(task, runs[0])]
    if _versions(task) != before:
        raise TaskChanged("the method changed the task's tensors in place; copy them first")
    if (shared := task.shared_changed()) is not None:
        raise TaskChanged(
            f"the method changed what task.shared({shared}) gave, which others use too; copy it"
            " first"
        )
    if len(scorers) != len(runs):
        raise PluginError(f"fit_batch gave {len(scorers)} scorers for {len(runs)} runs")
    failures: list[Exception | None] = []
    for run, scorer in zip(runs, scorers, strict=True):
        failures.append(None)
        try:
            if scorer is not None:
                run.checkpoint((run.checkpoints_offered or 0) + 1, scorer)
            elif run.failure is None and run.checkpoints_offered is None:
                raise PluginError("fit returned no scorer and offered no checkpoint")
        except Exception as error:
            failures[-1] = error
    return failures


def _versions(task: Task) -> list[int]:
    """How often each tensor a method can reach was changed in place."""
    tensors = (task.features, task.labels, task.attributes, task.seen, task.unseen)
    return [tensor._version for tensor in tensors]
