"""Calling a method: the one place where the rules of ``fit`` and ``fit_batch`` are enforced."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import numpy as np

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.method import BatchedMethod, Method
from gzsl_bench.hooks.run import Run

if TYPE_CHECKING:
    from gzsl_bench.hooks.task import Task


class TaskChanged(PluginError):
    """A method changed the tensors of its task, which others train on too."""


def settle(key: str, threads: int) -> None:
    """Set all that fixes numbers and belongs to the process, whatever was done to it before.

    Called last, right before the method: loading data may draw from Python's random state, and a
    plugin or library may set a default dtype at its import.

    Args:
        key: seeds the global random states (hexadecimal).  No method should draw from them; one
            that does gets the same numbers wherever it is trained, and others for another seed.
        threads: that torch, BLAS and OpenMP compute with, in libraries yet to be loaded, too.
    """
    import torch
    from threadpoolctl import threadpool_limits

    for name in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    threadpool_limits(threads)
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    if torch.are_deterministic_algorithms_enabled():  # the call imports half of torch's compiler
        torch.use_deterministic_algorithms(False)
    torch.set_flush_denormal(False)
    torch.set_grad_enabled(True)
    torch.autograd.set_detect_anomaly(False)
    for device in ("cpu", "cuda"):
        torch.set_autocast_enabled(device, False)
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, False, False
    products.allow_fp16_reduced_precision_reduction = True
    products.allow_bf16_reduced_precision_reduction = True
    np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
    number = int(key[:15], 16)
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)


def fit_runs(
    factory: type[Method],
    task: Task,
    runs: Sequence[Run],
    settled: tuple[str, int] | None = None,
    changed: Callable[[], str | None] | None = None,
) -> list[Exception | None]:
    """Train ``runs`` together and take their last scorers as checkpoints.

    Args:
        factory: the method; made with the first run's configuration.
        task: the task, on the device.
        runs: several for a batched method only.
        settled: arguments of :func:`settle`; None leaves the process as it is.
        changed: says what of the task is not what it was; by default it is compared with a copy.

    Returns:
        For every run, what went wrong with its last scorer, or None.  Runs that were given up say
        so themselves (``run.failure``).

    Raises:
        TaskChanged: the method, or one of its scorers, changed the task's tensors.
        PluginError: it returned another number of scorers than there are runs.
        Exception: whatever the method raises.
    """
    import torch

    from gzsl_bench.stacked.precision import arithmetic

    changed = changed or beside_a_copy(task)
    if settled is not None:
        settle(*settled)
    with arithmetic(runs[0].precision), torch.inference_mode(False):
        method = factory(runs[0].config)
        try:
            if isinstance(method, BatchedMethod):
                scorers = list(method.fit_batch(task, runs) or [None] * len(runs))
            else:
                scorers = [method.fit(task, runs[0])]
        except FrozenInstanceError as error:
            # `task.features -= m` writes to the tensor, and only then is the assignment refused.
            if (what := changed()) is None:
                raise
            raise TaskChanged(f"the method changed {what}; copy it first") from error
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
    if (what := changed()) is not None:
        raise TaskChanged(f"the method changed {what}; copy it first")
    return failures


def beside_a_copy(task: Task) -> Callable[[], str | None]:
    """Says what of a task differs from what it is now."""
    import torch

    kept = {
        name: value.clone() for name, value in vars(task).items() if isinstance(value, torch.Tensor)
    }

    def changed() -> str | None:
        for name, value in kept.items():
            now = getattr(task, name)
            if now.shape != value.shape or now.dtype != value.dtype or not now.equal(value):
                return f"task.{name}"
        shared = task.shared_changed()
        return None if shared is None else f"what task.shared({shared}) gave"

    return changed
