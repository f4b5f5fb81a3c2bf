"""How a device computes a stack: run by run or all runs at once, eagerly or as captured graphs.

Everything that differs between a CPU and a GPU is asked here, so that the way of a GPU can be
walked on a machine without one (:mod:`gzsl_bench.testing.graphs` does, with real numbers).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Graphs(Protocol):
    """Captures work on a device, so that it can be launched again as one."""

    def aside(self, work: Callable[[], None]) -> None:
        """Do ``work`` eagerly, as a first time before anything of its kind is captured."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` would do, without doing it; calling the result does it."""


class CudaGraphs:
    """CUDA graphs that share their scratch memory: they are replayed one after the other."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None

    def aside(self, work: Callable[[], None]) -> None:
        """On a stream of its own, as capturing asks for: nothing may linger on the default one."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            work()
        torch.cuda.current_stream(self._device).wait_stream(stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """One graph of everything that ``work`` launches."""
        graph = torch.cuda.CUDAGraph()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        replay: Callable[[], None] = graph.replay
        return replay


@dataclass(frozen=True)
class Backend:
    """One way to compute.

    Attributes:
        together: one product takes all runs of a stack.  On a CPU they are multiplied one by one: a
            batched product there picks its kernel by the number of runs, and a run's result would
            depend on who is trained beside it.
        graphs: makes what captures steps on a device; None where steps always run eagerly.
    """

    together: bool
    graphs: Callable[[torch.device], Graphs] | None


CPU = Backend(together=False, graphs=None)
CUDA = Backend(together=True, graphs=CudaGraphs)

_pretended: Backend | None = None


def backend_of(device: torch.device) -> Backend:
    """How ``device`` computes."""
    if _pretended is not None:
        return _pretended
    return CPU if device.type == "cpu" else CUDA


def together(x: torch.Tensor) -> bool:
    """Whether one product takes all runs of ``x`` [R, ...]."""
    return backend_of(x.device).together


@contextlib.contextmanager
def pretending(backend: Backend) -> Iterator[None]:
    """Within the block every device computes as ``backend`` does; for tests, in one thread."""
    global _pretended
    before, _pretended = _pretended, backend
    try:
        yield
    finally:
        _pretended = before
