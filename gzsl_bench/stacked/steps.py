"""Repeating a training step over blocks of inputs: eagerly, or as captured CUDA graphs.

A step of these methods is a few dozen kernels of some microseconds each; launched one by one from
Python, a GPU waits for the host most of the time.  A graph of many steps is launched as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gzsl_bench.stacked.backend import Graphs, backend_of

#: Steps in one captured graph: the cost of a launch is spread over them.
AT_ONCE = 50


class Repeat:
    """Calls ``step`` for every step of its blocks, on a GPU through captured graphs.

    What a captured step may do: work on tensors that stay where they are (parameters, gradients,
    optimiser state, accumulators) and on its inputs; never wait for the device, read a value back,
    or depend on a Python number that changes from step to step.  The first call runs eagerly, so
    that optimiser state and libraries' workspaces exist before anything is captured.

    Args:
        step: called with one slice of every block.
        device: where the blocks live.
        graphs: capture where the device can; False runs every step eagerly.
        at_once: steps of one graph [default: :data:`AT_ONCE`].
    """

    def __init__(
        self,
        step: Callable[..., None],
        device: torch.device,
        *,
        graphs: bool = True,
        at_once: int | None = None,
    ) -> None:
        self._step = step
        make = backend_of(device).graphs if graphs else None
        self._graphs = None if make is None else make(device)
        self._at_once = at_once or AT_ONCE
        self._warm = False
        self._captured: dict[int, tuple[Callable[[], None], list[torch.Tensor]]] = {}

    def __call__(self, blocks: Sequence[torch.Tensor]) -> None:
        """Run every step of ``blocks`` [steps, ...], in order."""
        if self._graphs is None:
            self._eagerly(blocks)
        elif not self._warm:
            self._graphs.aside(lambda: self._eagerly(blocks))
            self._warm = True
        else:
            for parts in zip(*(torch.split(b, self._at_once) for b in blocks), strict=True):
                replay, inputs = self._graph(self._graphs, parts)
                for buffer, part in zip(inputs, parts, strict=True):
                    buffer.copy_(part)
                replay()

    def _eagerly(self, blocks: Sequence[torch.Tensor]) -> None:
        for inputs in zip(*(block.unbind(0) for block in blocks), strict=True):
            self._step(*inputs)

    def _graph(
        self, graphs: Graphs, parts: Sequence[torch.Tensor]
    ) -> tuple[Callable[[], None], list[torch.Tensor]]:
        """The graph for as many steps as ``parts`` hold, and the buffers it reads."""
        steps = len(parts[0])
        if steps not in self._captured:
            inputs = [part.clone(memory_format=torch.contiguous_format) for part in parts]
            self._captured[steps] = graphs.capture(lambda: self._eagerly(inputs)), inputs
        return self._captured[steps]
