"""Adam over a stack of runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gzsl_bench.stacked.layers import Linear


class StackedAdam:
    """One fused Adam for all runs and layers, equal to a separate optimiser for each run.

    Adam is elementwise, so stacking changes nothing as long as the loss is the *sum* over runs (a
    mean would scale gradients by 1/R) and nothing clips a norm over all of them.
    """

    def __init__(
        self,
        groups: Sequence[tuple[Sequence[Linear], Sequence[float]]],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        amsgrad: bool = False,
    ) -> None:
        """Optimise ``groups`` of layers.

        Args:
            groups: pairs of layers and their learning rates, one rate for every run.
            betas: decay rates of the two moments.
            eps: added to the root of the second moment.
            amsgrad: divide by the largest second moment so far.
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
        self._adam = torch.optim.Adam(
            [{"params": params, "lr": rate} for rate, params in rows.items()],
            betas=betas,
            eps=eps,
            amsgrad=amsgrad,
            fused=True,
            # Captured graphs need the step count on the device.
            capturable=self.layers[0].flat.is_cuda,
        )

    def step(self) -> None:
        """Update every run from the gradients of the last backward pass, then forget those."""
        for layer in self.layers:
            if layer.fresh and layer.grad is not None:
                layer.grad.zero_()
            layer.fresh = layer.stale = True
        self._adam.step()
