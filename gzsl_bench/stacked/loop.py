"""The training loop of a stack of runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from gzsl_bench.hooks.run import Run
from gzsl_bench.stacked.adam import StackedAdam
from gzsl_bench.stacked.backend import backend_of
from gzsl_bench.stacked.steps import Repeat


class Progress:
    """Progress of a stack, in units of the caller's choice, reported to each of its runs."""

    def __init__(self, runs: Sequence[Run], total: int) -> None:
        self.runs, self.total, self.done = runs, max(1, int(total)), 0

    def advance(self, units: int) -> None:
        """``units`` more are done."""
        self.done = min(self.total, self.done + int(units))
        for run in self.runs:
            run.progress(self.done, self.total)


class _Step:
    """One step: loss, gradients, update, and the terms added up for the epoch's report."""

    def __init__(
        self,
        optimizer: StackedAdam,
        loss: Callable[..., Mapping[str, torch.Tensor]],
    ) -> None:
        self.optimizer, self.loss = optimizer, loss
        self.factors: list[torch.Tensor] = []
        self.names: tuple[str, ...] = ()
        self.sums: torch.Tensor | None = None

    def begin(self, factors: Sequence[torch.Tensor]) -> None:
        """A new epoch: its loss weights go where the last ones were, the sums back to zero."""
        if self.sums is None:
            self.factors = [factor.clone() for factor in factors]
            return
        self.sums.zero_()
        for kept, factor in zip(self.factors, factors, strict=True):
            kept.copy_(factor)

    def __call__(self, *inputs: torch.Tensor) -> None:
        terms = self.loss(self.factors, *inputs)
        # The sum, never the mean: each run's gradient is then its own.
        terms["loss"].sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        values = torch.stack([term.detach() for term in terms.values()])
        if self.sums is None:
            self.names, self.sums = tuple(terms), values
        else:
            self.sums.add_(values)


def train(
    runs: Sequence[Run],
    optimizer: StackedAdam,
    *,
    epochs: int,
    steps: int,
    weights: Callable[[int], Sequence[torch.Tensor]],
    draw: Callable[[int], Sequence[torch.Tensor]],
    loss: Callable[..., Mapping[str, torch.Tensor]],
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train all runs together; nothing waits for the device but once in an epoch.

    On a GPU the steps after the first epoch are captured graphs (see :class:`.Repeat`), and an
    epoch's means are read only when the next epoch is under way, so that the device never idles.
    A run whose loss is no longer finite is given up with ``run.fail``; its neighbours go on.

    Args:
        runs: the stack.
        optimizer: holds the layers' gradients.
        epochs: number of epochs.
        steps: steps in an epoch.
        weights: epoch (from 0) -> the loss weights of that epoch, [R] each.
        draw: steps -> what the steps of one epoch consume, blocks of shape [steps, R, ...].
        loss: called with the weights and one step's slice of each block; named terms [R], of which
            ``loss`` is minimised.  All are logged as means over the epoch's steps.
        after_epoch: called when an epoch is done.
    """
    step = _Step(optimizer, loss)
    repeat: Repeat | None = None
    pending: tuple[int, torch.Tensor] | None = None
    for epoch in range(epochs):
        blocks = draw(steps)
        repeat = repeat or Repeat(step, blocks[0].device)
        step.begin(weights(epoch))
        repeat(blocks)
        assert step.sums is not None
        means = step.sums / steps
        if pending is not None:
            report(runs, step.names, *pending)
        pending = epoch + 1, means
        if backend_of(means.device).graphs is None:
            report(runs, step.names, *pending)
            pending = None
        after_epoch()
        if all(run.failure for run in runs):
            return
    if pending is not None:
        report(runs, step.names, *pending)


def report(runs: Sequence[Run], names: Sequence[str], epoch: int, means: torch.Tensor) -> None:
    """Log the ``means`` [terms, R] of an epoch and give up runs that diverged."""
    columns = means.double().t().tolist()
    for run, values in zip(runs, columns, strict=True):
        if run.failure:
            continue
        bad = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
        if bad:
            run.fail(f"{bad[-1]} is not finite in epoch {epoch}")
        else:
            run.log(epoch, **dict(zip(names, values, strict=True)))
