"""RMSprop, SGD and Adam over tensors of any shape whose first axis is the run.

For parameters that are no layer: word vectors, prototypes, the matrices of an attention.  They are
plain leaves of autograd; :class:`~gzsl_bench.stacked.adam.StackedAdam` is faster for layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


class _Elementwise:
    """What the optimisers share: gradients, weight decay, a rate for every run and a schedule.

    Attributes:
        tensors: [R, ...] leaves that are moved in place.
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor],
        rates: Sequence[float],
        *,
        weight_decay: float = 0.0,
    ) -> None:
        self.tensors = list(tensors)
        self._decay = weight_decay
        self._rates = []
        for tensor in self.tensors:
            if len(tensor) != len(rates):
                raise ValueError(f"{len(rates)} rates for a tensor of {len(tensor)} runs")
            tensor.requires_grad_()
            # Kept for good: captured steps write to the same memory again and again.
            tensor.grad = torch.zeros_like(tensor)
            self._rates.append(tensor.new_tensor(rates).view(-1, *[1] * (tensor.ndim - 1)))
        self._share = self._rates[0].new_ones(())

    def schedule(self, share: float) -> None:
        """From now on rates are this share of what was given; for the time between epochs."""
        self._share.fill_(share)

    def begin(self) -> None:
        """Begin a step without gradients."""
        for tensor in self.tensors:
            assert tensor.grad is not None
            tensor.grad.zero_()

    def step(self) -> None:
        """Move the parameters along the gradients of the last backward pass."""
        with torch.no_grad():
            for index, tensor in enumerate(self.tensors):
                assert tensor.grad is not None
                gradient = tensor.grad
                if self._decay:
                    gradient = gradient.add(tensor, alpha=self._decay)
                tensor.sub_(self._rates[index] * self._share * self._direction(index, gradient))

    def _direction(self, index: int, gradient: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class StackedSGD(_Elementwise):
    """``torch.optim.SGD`` for all runs: momentum without dampening, weight decay in the gradient.

    Args:
        tensors: [R, ...] parameters.
        rates: of each run.
        momentum: share of the last direction.
        weight_decay: times the parameters, added to their gradients.
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor],
        rates: Sequence[float],
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(tensors, rates, weight_decay=weight_decay)
        self._momentum = momentum
        self._last = [torch.zeros_like(tensor) for tensor in self.tensors]

    def _direction(self, index: int, gradient: torch.Tensor) -> torch.Tensor:
        return self._last[index].mul_(self._momentum).add_(gradient)


class StackedRMSprop(_Elementwise):
    """``torch.optim.RMSprop`` for all runs: not centred, momentum after the scaling.

    Args:
        tensors: [R, ...] parameters.
        rates: of each run.
        alpha: decay of the mean square.
        eps: added to its root.
        momentum: share of the last direction.
        weight_decay: times the parameters, added to their gradients.
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor],
        rates: Sequence[float],
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(tensors, rates, weight_decay=weight_decay)
        self._alpha, self._eps, self._momentum = alpha, eps, momentum
        self._squares = [torch.zeros_like(tensor) for tensor in self.tensors]
        self._last = [torch.zeros_like(tensor) for tensor in self.tensors]

    def _direction(self, index: int, gradient: torch.Tensor) -> torch.Tensor:
        square = self._squares[index].mul_(self._alpha)
        square.addcmul_(gradient, gradient, value=1 - self._alpha)
        scaled = gradient / square.sqrt().add_(self._eps)
        if not self._momentum:
            return scaled
        return self._last[index].mul_(self._momentum).add_(scaled)


class ElementwiseAdam(_Elementwise):
    """``torch.optim.Adam`` for all runs, over tensors of any shape; it can be begun anew.

    Args:
        tensors: [R, ...] parameters.
        rates: of each run.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: times the parameters, added to their gradients.
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor],
        rates: Sequence[float],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(tensors, rates, weight_decay=weight_decay)
        self._betas, self._eps = betas, eps
        self._first = [torch.zeros_like(tensor) for tensor in self.tensors]
        self._second = [torch.zeros_like(tensor) for tensor in self.tensors]
        # On the device and multiplied on: a captured step has no Python number that changes.
        self._left = [self._share.new_ones(2) for _ in self.tensors]

    def restart(self) -> None:
        """Forget both moments, as a new optimiser would."""
        for moments in (self._first, self._second):
            for moment in moments:
                moment.zero_()
        for left in self._left:
            left.fill_(1.0)

    def _direction(self, index: int, gradient: torch.Tensor) -> torch.Tensor:
        one, two = self._betas
        first = self._first[index].mul_(one).add_(gradient, alpha=1 - one)
        second = self._second[index].mul_(two).addcmul_(gradient, gradient, value=1 - two)
        left = self._left[index]
        left[0].mul_(one)
        left[1].mul_(two)
        root = (second / (1 - left[1])).sqrt_().add_(self._eps)
        return first / (1 - left[0]) / root
