"""A softmax classifier that is begun anew, again and again, beside a generator that learns.

The final stage of a feature-generating network trains on the real rows of seen classes, which all
runs share, and on generated rows of unseen classes, which are each run's own and change.  The real
rows are kept once for all runs, and a batch is gathered from both where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from gzsl_bench.stacked.backend import together
from gzsl_bench.stacked.draws import Shuffles
from gzsl_bench.stacked.runs import HasStreams
from gzsl_bench.stacked.softmax import Softmax
from gzsl_bench.stacked.steps import AT_ONCE

#: Rows of each run that are gathered at once, on a CPU and where all runs are multiplied together.
GATHERED, TOGETHER = 4096, 16384


class RestartedClassifier(Softmax):
    """Linear + log-softmax on shared and own rows, as f-CLSWGAN's classifier2.py trains it.

    Normal weights and zero biases.  An epoch has ceil(rows / batch) full batches: a batch that does
    not fit into what is left of a shuffle takes the rest and goes on with the next one, also from
    epoch to epoch.  Adam without amsgrad.

    Attributes:
        own: [R, M, L] rows of each run's own; to be filled before :meth:`restart`.
        own_labels: [1, M] or [R, M] their class ids.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        shared: torch.Tensor,
        labels: torch.Tensor,
        classes: int,
        *,
        own_labels: torch.Tensor | None = None,
        rates: Sequence[float],
        betas: tuple[float, float] = (0.5, 0.999),
        eps: float = 1e-8,
        batch: int,
        std: float = 0.02,
        weight_decay: float = 0.0,
    ) -> None:
        """Make room; :meth:`restart` begins.

        Args:
            runs: the stack.
            shared: [N, L] rows of all runs; N may be 0.
            labels: [N] their class ids.
            classes: C, the number of outputs.
            own_labels: [M] or [R, M] class ids of each run's own rows; None where there are none.
            rates: learning rate of every run.
            betas: decay rates of Adam's moments.
            eps: Adam's epsilon.
            batch: rows in a step; all rows where there are fewer.
            std: standard deviation of the initial weights.
            weight_decay: times the parameters, added to their gradients.
        """
        own_labels = labels[:0] if own_labels is None else own_labels
        (rows, width), own = shared.shape, own_labels.shape[-1]
        super().__init__(
            shared, len(runs), classes, width,
            rates=rates, betas=betas, eps=eps, batch=min(batch, rows + own),
            weight_decay=weight_decay,
        )  # fmt: skip
        self.steps = math.ceil((rows + own) / self.batch)
        self._runs, self._std = runs, std
        own_labels = own_labels if own_labels.ndim == 2 else own_labels[None]
        # [1, N + M], or [R, N + M] where runs have labels of their own.
        self._labels = torch.cat([labels.expand(len(own_labels), -1), own_labels], 1)
        self.own_labels = self._labels[:, rows:]
        # The column of ones is the bias's.
        self._shared = shared.new_ones(rows, width + 1)
        self._shared[:, :width] = shared
        self._own = shared.new_ones(len(runs), own, width + 1)
        self.own = self._own[:, :, :width]
        gathered = TOGETHER if together(shared) else GATHERED
        self._at_once = min(AT_ONCE, self.steps, max(1, gathered // self.batch))
        stacked = self._spans[0][1] - self._spans[0][0]
        self._gathered = shared.new_empty(stacked, self._at_once * self.batch, width + 1)

    @torch.no_grad()
    def restart(self, purpose: str = "classifier", like: Softmax | None = None) -> None:
        """Begin anew, on what ``own`` holds now.

        Args:
            purpose: prefix of the streams ``<purpose>/init`` and ``<purpose>/shuffle``.
            like: begin where this classifier is; else with drawn weights.
        """
        for run, weight in zip(self._runs, self.weight, strict=True):
            draw = torch.randn(*weight.shape, generator=run.generator(f"{purpose}/init"))
            weight.copy_(draw * self._std)
        self.bias.zero_()
        if like is not None:
            self.weight.copy_(like.weight)
            self.bias.copy_(like.bias)
        for stack in self._stacks:
            stack.restart()
        self._shuffles = Shuffles(self._runs, f"{purpose}/shuffle", self._labels.shape[1])

    def _drawn(self, run: int) -> torch.Tensor:
        """[steps * B] rows of the next epoch, those of a batch in ascending order.

        The order within a batch plays no part but in rounding; shared rows stand before own ones.
        """
        return self._shuffles.draw(run, self.steps, self.batch).sort(1).values.flatten()

    @torch.no_grad()
    def train_epoch(self, order: torch.Tensor | None = None) -> None:
        """Train one epoch.

        Args:
            order: [R, steps * B] rows, shared ones counted first, ascending within each batch;
                drawn from the streams if None.
        """
        if order is None:
            order = torch.stack([self._drawn(run) for run in range(len(self._runs))])
        for stack, (first, last) in zip(self._stacks, self._spans, strict=True):
            labels = self._labels.expand(len(self._runs), -1)[first:last]
            for part in torch.split(
                order[first:last].to(self._labels.device), self._gathered.shape[1], 1
            ):
                rows = self._gathered[:, : part.shape[1]]
                if together(rows):
                    self._gather_together(part, rows)
                else:
                    self._gather(part[0], self._own[first], rows[0])
                stack.epoch(rows, labels.gather(1, part))

    def _gather(self, order: torch.Tensor, own: torch.Tensor, rows: torch.Tensor) -> None:
        """``rows`` [n, L + 1] become those that ``order`` [n] names, one run's."""
        shared = len(self._shared)
        for picked, into in zip(
            torch.split(order, self.batch), torch.split(rows, self.batch), strict=True
        ):
            cut = int((picked < shared).sum())
            torch.index_select(self._shared, 0, picked[:cut], out=into[:cut])
            torch.index_select(own, 0, picked[cut:] - shared, out=into[cut:])

    def _gather_together(self, order: torch.Tensor, rows: torch.Tensor) -> None:
        """The same for all runs, without a size that depends on numbers: [R, n, L + 1]."""
        shared = len(self._shared)
        if shared:
            rows.copy_(self._shared[order.clamp(max=shared - 1)])
        if self._own.shape[1]:
            run = torch.arange(len(order), device=order.device)[:, None]
            own = self._own[run, (order - shared).clamp(min=0)]
            rows.copy_(torch.where((order < shared)[:, :, None], rows, own))

    def _sampled(self, sample: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        stride = max(1, self._labels.shape[1] // sample)
        real, ahead = self._shared[::stride, : self._width], -len(self._shared) % stride
        for own, labels in zip(self.own, self._labels.expand(len(self.own), -1), strict=True):
            yield torch.cat([real, own[ahead::stride]]), labels[::stride]
