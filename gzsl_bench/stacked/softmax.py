"""A softmax classifier trained on small batches, for a stack of runs.

Its training set is tiny and its steps are many (77,000 for ACMR on CUB), so what counts is the cost
of a step beside its arithmetic.  The gradient is written out by hand, the bias is a column of ones,
an epoch's rows are shuffled once, and a step is ten kernels on buffers that exist already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from gzsl_bench.stacked.draws import Generators
from gzsl_bench.stacked.layers import padded
from gzsl_bench.stacked.runs import HasStreams


class SoftmaxClassifier:
    """Linear + log-softmax, NLL averaged over the batch, Adam without amsgrad.

    Xavier-uniform weights, zero bias, shuffled anew in every epoch, an incomplete last batch left
    out (CADA-VAE, released code: final_classifier.py).  Equal to autograd and ``torch.optim.Adam``
    to rounding.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        inputs: torch.Tensor,
        labels: torch.Tensor,
        classes: int,
        *,
        rates: Sequence[float],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        batch: int = 32,
        gain: float = 1.0,
        purpose: str = "classifier",
    ) -> None:
        """Prepare training; nothing is trained yet.

        Args:
            runs: where the streams ``<purpose>/init`` and ``<purpose>/shuffle`` come from.
            inputs: [R, N, L] training rows of every run.
            labels: [N] class ids, the same for every run.
            classes: C, the number of outputs.
            rates: learning rate of every run.
            betas: decay rates of Adam's moments.
            eps: Adam's epsilon.
            batch: rows in a step; N where there are fewer.
            gain: Xavier gain of the weights.
            purpose: prefix of the streams' names.
        """
        count, rows, width = inputs.shape
        device, dtype = inputs.device, inputs.dtype
        self.batch = min(batch, rows)
        self.steps = rows // self.batch
        self._betas, self._eps = betas, eps
        self._width, self._classes = width, classes
        self._shuffles = Generators(runs, f"{purpose}/shuffle")
        self._labels = labels.to(device)
        self._rows = torch.ones(count, rows, width + 1, device=device, dtype=dtype)
        self._rows[:, :, :width] = inputs

        size = classes * (width + 1)
        flats = [torch.zeros(count, padded(size), device=device, dtype=dtype) for _ in range(5)]
        self._flat = flats[0]
        bound = gain * math.sqrt(6.0 / (width + classes))
        for run, weight in zip(runs, self._weights(), strict=True):
            draw = torch.rand(classes, width, generator=run.generator(f"{purpose}/init"))
            weight[:, :width] = (draw * 2 - 1) * bound
        # On a CPU each run is a stack of its own: its kernels see the same shapes alone or beside
        # others.  A GPU trains all of them in one launch per operation.
        spans = [(r, r + 1) for r in range(count)] if device.type == "cpu" else [(0, count)]
        self._stacks = [
            _Stack(
                *(flat[a:b] for flat in flats),
                classes=classes,
                batch=self.batch,
                width=width + 1,
                rates=rates[a:b],
            )
            for a, b in spans
        ]
        self._spans = spans
        self._shuffled = torch.empty(
            spans[0][1] - spans[0][0],
            self.steps * self.batch,
            width + 1,
            device=device,
            dtype=dtype,
        )
        self._done = 0

    def _weights(self) -> torch.Tensor:
        """[R, C, L + 1] view: weights, the bias in the last column."""
        size = self._classes * (self._width + 1)
        return self._flat[:, :size].view(-1, self._classes, self._width + 1)

    @property
    def weight(self) -> torch.Tensor:
        """[R, C, L] view of the weights as they are now."""
        return self._weights()[:, :, : self._width]

    @property
    def bias(self) -> torch.Tensor:
        """[R, C] view of the biases as they are now."""
        return self._weights()[:, :, self._width]

    def scores(self, run: int, inputs: torch.Tensor) -> torch.Tensor:
        """Logits [N, C] of ``inputs`` [N, L] in one run."""
        return torch.addmm(self.bias[run], inputs, self.weight[run].t())

    def scorer(self, run: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """:meth:`scores` of one run, as a function of the inputs alone."""
        return lambda inputs: self.scores(run, inputs)

    @torch.no_grad()
    def train_epoch(self, order: torch.Tensor | None = None) -> None:
        """Train one epoch.

        Args:
            order: [R, N] permutations to visit the rows in; drawn from the streams if None.
        """
        rows = self._rows.shape[1]
        if order is None:
            order = torch.stack(
                [torch.randperm(rows, generator=stream) for stream in self._shuffles.streams]
            )
        order = order[:, : self.steps * self.batch].to(self._rows.device)
        for stack, (first, last) in zip(self._stacks, self._spans, strict=True):
            for r in range(first, last):
                torch.index_select(self._rows[r], 0, order[r], out=self._shuffled[r - first])
            stack.epoch(self._shuffled, self._labels[order[first:last]], self._betas, self._eps)
        self._done += 1

    def finite(self) -> list[bool]:
        """Whether each run's parameters are all finite; waits for the device."""
        return [bool(value) for value in self._flat.isfinite().all(1).tolist()]

    @torch.no_grad()
    def loss(self, sample: int = 2048) -> list[float]:
        """Mean NLL of each run on about ``sample`` evenly spaced training rows."""
        stride = max(1, self._rows.shape[1] // sample)
        rows, labels = self._rows[:, ::stride, : self._width], self._labels[::stride]
        values = []
        for r in range(rows.shape[0]):
            logs = torch.log_softmax(self.scores(r, rows[r]), dim=1)
            values.append(-logs.gather(1, labels[:, None]).mean())
        return [float(value) for value in torch.stack(values).tolist()]


class _Stack:
    """The steps of a few runs at once, with their buffers."""

    def __init__(
        self,
        flat: torch.Tensor,
        grad: torch.Tensor,
        first: torch.Tensor,
        second: torch.Tensor,
        denominator: torch.Tensor,
        *,
        classes: int,
        batch: int,
        width: int,
        rates: Sequence[float],
    ) -> None:
        self.flat, self.grad, self.first, self.second = flat, grad, first, second
        self.denominator = denominator
        self.classes, self.batch, self.width = classes, batch, width
        size, count = classes * width, flat.shape[0]
        self.weights = flat[:, :size].view(-1, classes, width)
        self.gradients = grad[:, :size].view(-1, classes, width)
        self.probabilities = flat.new_empty(count, batch, classes)
        self.minus_ones = flat.new_full((count * batch,), -1.0)
        self.offsets = torch.arange(count * batch, device=flat.device).view(count, 1, batch)
        self.offsets = self.offsets * classes
        self.rates = list(rates)
        self.same_rate = len(set(rates)) == 1
        self.rate_column = flat.new_tensor(list(rates)).unsqueeze(1)
        self.step = 0

    def epoch(
        self, rows: torch.Tensor, labels: torch.Tensor, betas: tuple[float, float], eps: float
    ) -> None:
        """Train on ``rows`` [R, steps * B, L + 1] with ``labels`` [R, steps * B], in this order."""
        count, total, width = rows.shape
        steps = total // self.batch
        beta1, beta2 = betas
        # Where the true class of each row of a step stands in the flattened probabilities.
        targets = labels.view(count, steps, self.batch) + self.offsets
        targets_of = targets.transpose(0, 1).reshape(steps, count * self.batch).unbind(0)
        batches = rows.view(count, steps, self.batch, width).unbind(1)
        probabilities, flat_probabilities = self.probabilities, self.probabilities.view(-1)
        flat, grad, first, second = self.flat, self.grad, self.first, self.second
        denominator, minus_ones, scale = self.denominator, self.minus_ones, 1.0 / self.batch
        alone = count == 1
        if alone:
            logits, weights, gradients = probabilities[0], self.weights[0].t(), self.gradients[0]
            errors = probabilities[0].t()
            batches = rows[0].view(steps, self.batch, width).unbind(0)
        else:
            logits, weights, gradients = probabilities, self.weights.mT, self.gradients
            errors = probabilities.mT
        for batch, target in zip(batches, targets_of, strict=True):
            self.step += 1
            # Softmax minus one-hot, times the rows, over B: the gradient of the mean NLL.
            if alone:
                torch.mm(batch, weights, out=logits)
            else:
                torch.bmm(batch, weights, out=logits)
            torch.softmax(logits, -1, out=logits)
            flat_probabilities.index_add_(0, target, minus_ones)
            if alone:
                torch.addmm(gradients, errors, batch, beta=0, alpha=scale, out=gradients)
            else:
                torch.baddbmm(gradients, errors, batch, beta=0, alpha=scale, out=gradients)
            # Adam; both bias corrections are moved into the step size and epsilon.
            root = math.sqrt(1 - beta2**self.step)
            size = root / (1 - beta1**self.step)
            first.lerp_(grad, 1 - beta1)
            second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            torch.sqrt(second, out=denominator)
            denominator.add_(eps * root)
            if self.same_rate:
                flat.addcdiv_(first, denominator, value=-size * self.rates[0])
            else:
                torch.div(first, denominator, out=denominator)
                flat.addcmul_(denominator, self.rate_column, value=-size)
