"""A softmax classifier trained on small batches, for a stack of runs.

Its training set is tiny and its steps are many (77,000 for ACMR on CUB), so what counts is the cost
of a step beside its arithmetic.  The gradient is written out by hand, the bias is a column of ones,
an epoch's rows are shuffled once, and a step is ten kernels on buffers that exist already; a GPU
replays them as captured graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from gzsl_bench.stacked.adam import FUSED_ADAM
from gzsl_bench.stacked.backend import together
from gzsl_bench.stacked.draws import Generators
from gzsl_bench.stacked.layers import padded
from gzsl_bench.stacked.runs import HasStreams
from gzsl_bench.stacked.steps import Repeat


class Softmax:
    """Parameters of a linear softmax classifier for every run, and how they are trained.

    Attributes:
        batch: rows in a step.
        steps: steps in an epoch.
    """

    batch: int
    steps: int

    def __init__(
        self,
        like: torch.Tensor,
        runs: int,
        classes: int,
        width: int,
        *,
        rates: Sequence[float],
        betas: tuple[float, float],
        eps: float,
        batch: int,
        weight_decay: float = 0.0,
    ) -> None:
        """All parameters zero.

        Args:
            like: a tensor of the device and type of the parameters.
            runs: R.
            classes: C, the number of outputs.
            width: L, the number of inputs.
            rates: learning rate of every run.
            betas: decay rates of Adam's moments.
            eps: Adam's epsilon.
            batch: rows in a step.
            weight_decay: times the parameters, added to their gradients.
        """
        self.batch, self._width, self._classes = batch, width, classes
        size = classes * (width + 1)
        flats = [like.new_zeros(runs, padded(size)) for _ in range(5)]
        self._flat = flats[0]
        # On a CPU each run is a stack of its own: its kernels see the same shapes alone or beside
        # others.  A GPU trains all of them in one launch per operation.
        self._spans = [(0, runs)] if together(like) else [(r, r + 1) for r in range(runs)]
        self._stacks = [
            _Stack(
                *(flat[a:b] for flat in flats),
                classes=classes,
                batch=batch,
                width=width + 1,
                rates=rates[a:b],
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
            )
            for a, b in self._spans
        ]

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

    def finite(self) -> list[bool]:
        """Whether each run's parameters are all finite; waits for the device."""
        return [bool(value) for value in self._flat.isfinite().all(1).tolist()]

    def train_epoch(self, order: torch.Tensor | None = None) -> None:
        """Train one epoch."""
        raise NotImplementedError

    def _sampled(self, sample: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """About ``sample`` training rows [n, L] of each run and their labels [n]."""
        raise NotImplementedError

    @torch.no_grad()
    def loss(self, sample: int = 2048) -> list[float]:
        """Mean NLL of each run on about ``sample`` evenly spaced training rows."""
        values = []
        for run, (rows, labels) in enumerate(self._sampled(sample)):
            logs = torch.log_softmax(self.scores(run, rows), dim=1)
            values.append(-logs.gather(1, labels[:, None]).mean())
        return [float(value) for value in torch.stack(values).tolist()]


class SoftmaxClassifier(Softmax):
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
        super().__init__(
            inputs, count, classes, width,
            rates=rates, betas=betas, eps=eps, batch=min(batch, rows),
        )  # fmt: skip
        self.steps = rows // self.batch
        self._shuffles = Generators(runs, f"{purpose}/shuffle")
        self._labels = labels.to(inputs.device)
        self._rows = inputs.new_ones(count, rows, width + 1)
        self._rows[:, :, :width] = inputs
        bound = gain * math.sqrt(6.0 / (width + classes))
        for run, weight in zip(runs, self.weight, strict=True):
            draw = torch.rand(classes, width, generator=run.generator(f"{purpose}/init"))
            weight.copy_((draw * 2 - 1) * bound)
        self._shuffled = inputs.new_empty(
            self._spans[0][1] - self._spans[0][0], self.steps * self.batch, width + 1
        )

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
            stack.epoch(self._shuffled, self._labels[order[first:last]])

    def _sampled(self, sample: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        stride = max(1, self._rows.shape[1] // sample)
        for rows in self._rows[:, ::stride, : self._width]:
            yield rows, self._labels[::stride]


class _Stack:
    """The steps of a few runs at once, with their buffers.

    A lone run on a CPU takes the shortest way: plain matrices, and Adam's step size as a number.
    Otherwise all runs go through batched products, and what changes from step to step (the bias
    corrections) lies on the device, so that a GPU can replay captured steps.
    """

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
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        self.flat, self.grad, self.first, self.second = flat, grad, first, second
        self.denominator = denominator
        self.classes, self.batch, self.width = classes, batch, width
        self.beta1, self.beta2 = betas
        self.eps, self.weight_decay = eps, weight_decay
        size, count = classes * width, flat.shape[0]
        self.weights = flat[:, :size].view(-1, classes, width)
        self.gradients = grad[:, :size].view(-1, classes, width)
        self.probabilities = flat.new_empty(count, batch, classes)
        self.flat_probabilities = self.probabilities.view(-1)
        self.minus_ones = flat.new_full((count * batch,), -1.0)
        self.offsets = torch.arange(count * batch, device=flat.device).view(count, 1, batch)
        self.offsets = self.offsets * classes
        self.rates = list(rates)
        self.done = 0
        self.repeat = Repeat(self._batched, flat.device)

    def restart(self) -> None:
        """Forget the moments and the number of steps."""
        self.done = 0
        self.first.zero_()
        self.second.zero_()

    def epoch(self, rows: torch.Tensor, labels: torch.Tensor) -> None:
        """Train on ``rows`` [R, steps * B, L + 1] with ``labels`` [R, steps * B], in this order."""
        count, total, width = rows.shape
        steps = total // self.batch
        # Where the true class of each row of a step stands in the flattened probabilities.
        targets = labels.view(count, steps, self.batch) + self.offsets
        targets = targets.transpose(0, 1).reshape(steps, count * self.batch)
        batches = rows.view(count, steps, self.batch, width).transpose(0, 1)
        sizes, guards = self._corrections(steps)
        if not together(rows):
            self._alone(batches[:, 0], targets, sizes, guards)
        else:
            rates = self.flat.new_tensor(self.rates).view(1, count, 1)
            self.repeat(
                [
                    batches,
                    targets,
                    self.flat.new_tensor(sizes).view(steps, 1, 1) * rates,
                    self.flat.new_tensor(guards),
                ]
            )

    def _corrections(self, steps: int) -> tuple[list[float], list[float]]:
        """Step size over the learning rate, and epsilon, of the next ``steps`` steps.

        Both bias corrections are moved there: the step is -rate * size * m / (sqrt(v) + guard).
        """
        numbers = range(self.done + 1, self.done + steps + 1)
        self.done += steps
        roots = [math.sqrt(1 - self.beta2**t) for t in numbers]
        sizes = [root / (1 - self.beta1**t) for t, root in zip(numbers, roots, strict=True)]
        return sizes, [self.eps * root for root in roots]

    def _moments(self) -> None:
        """Both moments from the gradient, and the root of the second."""
        grad, second = self.grad, self.second
        if self.weight_decay:
            grad.add_(self.flat, alpha=self.weight_decay)
        self.first.lerp_(grad, 1 - self.beta1)
        second.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        torch.sqrt(second, out=self.denominator)

    def _alone(
        self,
        batches: torch.Tensor,
        targets: torch.Tensor,
        sizes: Sequence[float],
        guards: Sequence[float],
    ) -> None:
        logits, weights, gradients = self.probabilities[0], self.weights[0].t(), self.gradients[0]
        errors, scale, rate = logits.t(), 1.0 / self.batch, self.rates[0]
        flat, first, denominator = self.flat, self.first, self.denominator
        rows = [[tensor[0]] for tensor in (flat, self.grad, first, self.second)]
        step = torch.tensor(float(self.done - len(sizes)))
        steps = [step]
        for batch, target, size, guard in zip(
            batches.unbind(0), targets.unbind(0), sizes, guards, strict=True
        ):
            # Softmax minus one-hot, times the rows, over B: the gradient of the mean NLL.
            torch.mm(batch, weights, out=logits)
            torch.softmax(logits, -1, out=logits)
            self.flat_probabilities.index_add_(0, target, self.minus_ones)
            torch.addmm(gradients, errors, batch, beta=0, alpha=scale, out=gradients)
            if FUSED_ADAM is not None:
                # Where plain operations take six passes; the optimiser around it would cost more
                # than the step.
                step.add_(1)
                FUSED_ADAM(
                    *rows,
                    [],
                    steps,
                    lr=rate,
                    beta1=self.beta1,
                    beta2=self.beta2,
                    weight_decay=self.weight_decay,
                    eps=self.eps,
                    amsgrad=False,
                    maximize=False,
                )
            else:
                self._moments()
                denominator.add_(guard)
                flat.addcdiv_(first, denominator, value=-size * rate)

    def _batched(
        self, batch: torch.Tensor, target: torch.Tensor, size: torch.Tensor, guard: torch.Tensor
    ) -> None:
        """One step of all runs: batch [R, B, L + 1], target [R * B], size [R, 1], guard []."""
        probabilities, gradients = self.probabilities, self.gradients
        torch.bmm(batch, self.weights.mT, out=probabilities)
        torch.softmax(probabilities, -1, out=probabilities)
        self.flat_probabilities.index_add_(0, target, self.minus_ones)
        torch.baddbmm(
            gradients, probabilities.mT, batch, beta=0, alpha=1.0 / self.batch, out=gradients
        )
        self._moments()
        denominator = self.denominator.add_(guard)
        torch.div(self.first, denominator, out=denominator)
        self.flat.addcmul_(denominator, size, value=-1.0)
