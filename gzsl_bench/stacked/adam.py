"""Adam over a stack of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from gzsl_bench.stacked.backend import backend_of
from gzsl_bench.stacked.layers import Parameters

#: The kernel behind ``torch.optim.Adam(fused=True)``, one pass over the parameters; None in a
#: version of torch without it.
FUSED_ADAM: Callable[..., None] | None = getattr(torch, "_fused_adam_", None)


class Optimizer(Protocol):
    """What a phase needs of its optimiser."""

    def begin(self) -> None:
        """Make sure that a step begins without gradients."""

    def step(self) -> None:
        """Move the parameters along the gradients of the last backward pass."""


class StackedAdam:
    """One fused Adam for all runs and layers, equal to a separate optimiser for each run.

    Adam is elementwise, so stacking changes nothing as long as the loss is the *sum* over runs (a
    mean would scale gradients by 1/R) and nothing clips a norm over all of them.
    """

    def __init__(
        self,
        groups: Sequence[tuple[Sequence[Parameters], Sequence[float]]],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        amsgrad: bool = False,
        weight_decay: float = 0.0,
        moving: bool = False,
    ) -> None:
        """Optimise ``groups`` of layers.

        Args:
            groups: pairs of layers and their learning rates, one rate for every run.
            betas: decay rates of the two moments.
            eps: added to the root of the second moment.
            amsgrad: divide by the largest second moment so far.
            weight_decay: times the parameters, added to their gradients.
            moving: captured steps are to notice :meth:`rescale`.
        """
        self.layers = [layer for layers, _ in groups for layer in layers]
        rows: dict[float, list[torch.Tensor]] = {}
        for layers, rates in groups:
            for layer in layers:
                if layer.grad is None:
                    raise ValueError("a layer made for inference cannot be trained")
                # A row per run, whatever R is: the kernels then see the same shapes alone and
                # stacked, and each run may have a learning rate of its own.
                for run, rate in enumerate(rates):
                    row = layer.flat[run]
                    row.grad = layer.grad[run]
                    rows.setdefault(float(rate), []).append(row)
        self._groups = [
            _Group(params, rate, betas, eps, amsgrad, weight_decay, moving)
            for rate, params in rows.items()
        ]

    def begin(self) -> None:
        """Make sure that a step begins without gradients.

        Raises:
            RuntimeError: a layer holds what another step's backward pass left.
        """
        if not all(layer.fresh for layer in self.layers):
            raise RuntimeError(
                "a step begins on the gradients of another step: call the layers of other"
                " optimisers within frozen(...), or forget their gradients with zero_grad()"
            )

    def zero_grad(self) -> None:
        """Forget the gradients of earlier backward passes."""
        for layer in self.layers:
            layer.zero_grad()

    def recall(self) -> None:
        """Go on from the gradients of the last step, as code that forgets to clear them does."""
        for layer in self.layers:
            layer.fresh = False

    def rescale(self, factor: float) -> None:
        """Multiply all rates; in steps that are captured already only with ``moving``."""
        for group in self._groups:
            group.rescale(factor)

    def step(self) -> None:
        """Update every run from the gradients of the last backward pass, then forget those."""
        for layer in self.layers:
            if layer.fresh and layer.grad is not None:
                layer.grad.zero_()
            layer.fresh = layer.stale = True
        for group in self._groups:
            group.step()


class Several:
    """Optimisers of different settings that step together."""

    def __init__(self, *optimizers: Optimizer) -> None:
        self._optimizers = optimizers

    def begin(self) -> None:
        """See :meth:`StackedAdam.begin`."""
        for optimizer in self._optimizers:
            optimizer.begin()

    def step(self) -> None:
        """See :meth:`StackedAdam.step`."""
        for optimizer in self._optimizers:
            optimizer.step()


class _Group:
    """Rows with one learning rate.

    The kernel behind ``torch.optim.Adam(fused=True)`` is called as it is: finding its arguments
    anew in every step takes the optimiser a millisecond, and the first one that a process makes
    imports a compiler for seconds.  With a torch that has no such kernel the optimiser itself does
    the work.
    """

    def __init__(
        self,
        params: list[torch.Tensor],
        rate: float,
        betas: tuple[float, float],
        eps: float,
        amsgrad: bool,
        weight_decay: float,
        moving: bool,
    ) -> None:
        captured = backend_of(params[0].device).graphs is not None
        # A captured step reads a rate that moves, and the number of steps, from the device.
        read = captured and moving
        lr = params[0].new_tensor(rate, dtype=torch.float32) if read else rate
        if FUSED_ADAM is None:
            self._adam = torch.optim.Adam(
                params, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad, weight_decay=weight_decay,
                fused=True, capturable=captured,
            )  # fmt: skip
            return
        self._params = params
        self._grads = [param.grad for param in params]
        self._first, self._second, largest = (
            [torch.zeros_like(param) for param in params] for _ in range(3)
        )
        self._largest = largest if amsgrad else []
        self._steps = [torch.zeros((), device=params[0].device) for _ in params]
        self._how: dict[str, Any] = {"lr": lr, "beta1": betas[0], "beta2": betas[1], "eps": eps}
        self._how |= {"weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": False}

    def rescale(self, factor: float) -> None:
        for group in [self._how] if FUSED_ADAM is not None else self._adam.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].mul_(factor)
            else:
                group["lr"] = group["lr"] * factor

    def step(self) -> None:
        if FUSED_ADAM is None:
            self._adam.step()
            return
        torch._foreach_add_(self._steps, 1)
        FUSED_ADAM(
            self._params,
            self._grads,
            self._first,
            self._second,
            self._largest,
            self._steps,
            **self._how,
        )
