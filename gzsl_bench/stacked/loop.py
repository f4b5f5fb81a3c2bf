"""The training loop of a stack of runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from gzsl_bench.hooks.run import Run
from gzsl_bench.stacked.adam import Optimizer, StackedAdam
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


#: Loss weights [R] each, and the tensors of one step -> named terms [R]; ``loss`` is minimised.
Loss: TypeAlias = Callable[..., Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Phase:
    """A part of a step that has an optimiser of its own: the critic's of a GAN, or the generator's.

    Attributes:
        optimizer: of the parameters that this phase moves; the others' belong within
            :func:`~gzsl_bench.stacked.layers.frozen`.
        loss: called with the loss weights, the number of the repetition (from 0) and one step's
            slice of every block; named terms [R], of which ``loss`` is minimised.
        name: put before the names of its terms in what is logged.
        repeat: how often a step does it.
        recalls: an optimiser whose last gradients this phase adds its own to.
        since: the epoch (from 0) from which on steps do it.
        before: what is done before it, every time.
    """

    optimizer: Optimizer
    loss: Loss
    name: str = ""
    repeat: int = 1
    recalls: StackedAdam | None = None
    since: int = 0
    before: Sequence[Phase] = ()


class _Step:
    """One step: loss, gradients, update of every phase; terms added up for the epoch's report."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = phases
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
        named: dict[str, torch.Tensor] = {}
        for phase in self.phases:
            for turn in range(phase.repeat):
                for part in (*phase.before, phase):
                    part.optimizer.begin()
                    if part.recalls is not None:
                        part.recalls.recall()
                    terms = part.loss(self.factors, turn, *inputs)
                    # The sum, never the mean: each run's gradient is then its own.
                    terms["loss"].sum().backward()  # type: ignore[no-untyped-call]
                    part.optimizer.step()
                    for term, value in terms.items():
                        name, share = f"{part.name}{term}", value.detach()
                        share = share if phase.repeat == 1 else share / phase.repeat
                        named[name] = named[name] + share if turn else share
        values = torch.stack(list(named.values()))
        if self.sums is None:
            self.names, self.sums = tuple(named), values
        else:
            self.sums.add_(values)


def train(
    runs: Sequence[Run],
    optimizer: Optimizer,
    *,
    epochs: int,
    steps: int,
    weights: Callable[[int], Sequence[torch.Tensor]],
    draw: Callable[[int], Sequence[torch.Tensor]],
    loss: Loss,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """:func:`train_alternating` with a single phase.

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
    phase = Phase(optimizer, lambda factors, _, *inputs: loss(factors, *inputs))
    train_alternating(
        runs,
        [phase],
        epochs=epochs,
        steps=steps,
        weights=weights,
        draw=draw,
        after_epoch=lambda epoch: after_epoch(),
    )


def train_alternating(
    runs: Sequence[Run],
    phases: Sequence[Phase],
    *,
    epochs: int,
    steps: int,
    draw: Callable[[int], Sequence[torch.Tensor]],
    weights: Callable[[int], Sequence[torch.Tensor]] = lambda epoch: (),
    after_epoch: Callable[[int], None] = lambda epoch: None,
    at_once: int | None = None,
    then: Sequence[Sequence[Phase]] = (),
    before: int = 0,
) -> None:
    """Train all runs together; nothing waits for the device but once in an epoch.

    Every step does its phases in turn, each as often as it says.  On a GPU the steps after the
    first block are captured graphs (see :class:`.Repeat`), and an epoch's means are read only when
    the next epoch is under way, so that the device never idles.  A run whose loss is no longer
    finite is given up with ``run.fail``; its neighbours go on.

    Args:
        runs: the stack.
        phases: parts of a step, in this order.
        epochs: number of epochs.
        steps: steps in an epoch.
        draw: steps -> what so many steps consume, blocks of shape [steps, ...].
        weights: epoch (from 0) -> the loss weights of that epoch, [R] each.
        after_epoch: called with the number (from 1) of the epoch that is done.
        at_once: steps that are drawn for at once, to bound the memory of blocks [default: all of an
            epoch's].
        then: phases of further passes: an epoch does ``steps`` steps of ``phases``, then as many of
            each of these.
        before: epochs of earlier calls: what is logged, and ``after_epoch``, counts from there.
    """
    passes: list[_Step] = []
    repeats: list[Repeat | None] = []
    pending: tuple[Sequence[str], int, torch.Tensor] | None = None
    for epoch in range(epochs):
        if epoch == 0 or any(phase.since == epoch for each in (phases, *then) for phase in each):
            passes = [
                _Step([phase for phase in each if phase.since <= epoch]) for each in (phases, *then)
            ]
            repeats = [None] * len(passes)
        for number, step in enumerate(passes):
            step.begin(weights(epoch))
            for first in range(0, steps, at_once or steps):
                blocks = draw(min(at_once or steps, steps - first))
                repeat = repeats[number] or Repeat(step, blocks[0].device)
                repeats[number] = repeat
                repeat(blocks)
                del blocks  # before others are drawn: they may be batches of region maps
        names = [name for step in passes for name in step.names]
        means = torch.cat([step.sums for step in passes if step.sums is not None]) / steps
        if pending is not None:
            report(runs, *pending)
        pending = names, before + epoch + 1, means
        if backend_of(means.device).graphs is None:
            report(runs, *pending)
            pending = None
        after_epoch(before + epoch + 1)
        if all(run.failure for run in runs):
            return
    if pending is not None:
        report(runs, *pending)


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
