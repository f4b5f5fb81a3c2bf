"""Repeating a training step over blocks of inputs: eagerly, or as captured CUDA graphs.

A step of these methods is a few dozen kernels of some microseconds each; launched one by one from
Python, a GPU waits for the host most of the time.  A graph of many steps is launched as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

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
        graphs: capture; by default on CUDA devices.
        at_once: steps of one graph.
    """

    def __init__(
        self,
        step: Callable[..., None],
        device: torch.device,
        *,
        graphs: bool | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self._step = step
        self._device = device
        self._graphs = device.type == "cuda" if graphs is None else graphs
        self._at_once = at_once
        self._warm = False
        self._pool: Any = None
        self._captured: dict[int, tuple[Any, list[torch.Tensor]]] = {}

    def __call__(self, blocks: Sequence[torch.Tensor]) -> None:
        """Run every step of ``blocks`` [steps, ...], in order."""
        if not self._graphs:
            self._eagerly(blocks)
        elif not self._warm:
            self._aside(blocks)
            self._warm = True
        else:
            for parts in zip(*(torch.split(b, self._at_once) for b in blocks), strict=True):
                graph, inputs = self._graph(parts)
                for buffer, part in zip(inputs, parts, strict=True):
                    buffer.copy_(part)
                graph.replay()

    def _eagerly(self, blocks: Sequence[torch.Tensor]) -> None:
        for inputs in zip(*(block.unbind(0) for block in blocks), strict=True):
            self._step(*inputs)

    def _aside(self, blocks: Sequence[torch.Tensor]) -> None:
        """On a stream of its own, as capturing asks for: nothing may linger on the default one."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            self._eagerly(blocks)
        torch.cuda.current_stream(self._device).wait_stream(stream)

    def _graph(self, parts: Sequence[torch.Tensor]) -> tuple[Any, list[torch.Tensor]]:
        """The graph for as many steps as ``parts`` hold, and the buffers it reads."""
        steps = len(parts[0])
        if steps not in self._captured:
            inputs = [
                torch.empty_like(part, memory_format=torch.contiguous_format) for part in parts
            ]
            graph = torch.cuda.CUDAGraph()
            # Graphs are replayed one after the other, so they may share their scratch memory.
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            with torch.cuda.graph(graph, pool=self._pool):
                self._eagerly(inputs)
            self._captured[steps] = graph, inputs
        return self._captured[steps]
