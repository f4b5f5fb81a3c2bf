"""Captured graphs without a GPU: what a capture of a step would keep is kept, and replayed.

A CUDA graph is a list of kernels with fixed arguments: the addresses of tensors and the numbers of
the moment it was captured.  :class:`EmulatedGraphs` captures the same on a CPU, operation by
operation below autograd, and replays it with real numbers.  What a graph freezes (a Python number
that changes from step to step, a tensor that is made anew outside the step) is frozen here, too, so
that the training ends elsewhere than one whose steps run as they are written (:class:`Rerun`).
What cannot be captured, since it waits for the device, is noted while capturing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gzsl_bench.engine.operations import Watching, is_mask, memory, named, tensors, written
from gzsl_bench.stacked.backend import Backend
from gzsl_bench.testing.caller import caller

#: Functions that read a tensor's values on the host: a GPU must have finished before.
_READS = frozenset(
    {
        "item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__float__", "__int__",
        "__index__", "__contains__", "is_nonzero", "equal", "allclose",
    }
)  # fmt: skip
#: Functions that bring numbers of the host to the device.
_BRINGS = frozenset({"tensor", "as_tensor", "asarray", "from_numpy", "new_tensor"})
#: Operations whose result has a size that depends on values.
_SIZED_BY_VALUES = frozenset(
    {
        "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount",
        "repeat_interleave",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Call:
    """One operation as captured."""

    run: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    #: Tensors that the operation makes anew; a replay fills them.
    made: tuple[torch.Tensor, ...]
    where: str

    @property
    def name(self) -> str:
        """The operation, as ``index_copy_``."""
        return str(self.run.overloadpacket.__name__)

    def frozen(self) -> tuple[str, ...]:
        """The operation and every number that a graph keeps as it is."""
        values = (*self.args, *self.kwargs.values())
        return str(self.run), *(repr(x) for x in _flat(values) if not isinstance(x, torch.Tensor))


@dataclass
class Capture:
    """What one graph holds."""

    calls: list[_Call] = field(default_factory=list)

    def replay(self) -> None:
        """Do it all again on the same tensors."""
        with torch._C._AutoDispatchBelowAutograd():
            for call in self.calls:
                result = call.run(*call.args, **call.kwargs)
                if call.made:
                    for kept, new in zip(call.made, tensors(result), strict=True):
                        kept.copy_(new)


class EmulatedGraphs:
    """Captures as :class:`~gzsl_bench.stacked.backend.CudaGraphs` does, without a GPU.

    Attributes:
        waits: what a GPU would refuse to capture, each with its line.
        frozen: lines whose operation has other numbers when it is captured a second time.
        captures: one for every graph.
    """

    def __init__(self) -> None:
        self.waits: list[str] = []
        self.frozen: list[str] = []
        self.captures: list[Capture] = []

    def aside(self, work: Callable[[], None]) -> None:
        """Eagerly, as on a GPU."""
        work()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record ``work``; the tensors that were there before are left as they are."""
        capture, again = self._record(work), self._record(work)
        self.captures.append(capture)
        differ = (
            call.where
            for call, other in zip(capture.calls, again.calls, strict=False)
            if call.frozen() != other.frozen()
        )
        if (where := next(differ, None)) is not None and where not in self.frozen:
            self.frozen.append(where)
        return capture.replay

    def _record(self, work: Callable[[], None]) -> Capture:
        capture = Capture()
        with _Waits(self.waits), _Recorder(capture, self.waits):
            work()
        return capture


class Rerun:
    """Graphs that are none: a replay runs the step as it is written."""

    def aside(self, work: Callable[[], None]) -> None:
        """Eagerly."""
        work()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Nothing is kept."""
        return work


def emulated(graphs: EmulatedGraphs) -> Backend:
    """A GPU that captures its steps in ``graphs``."""
    return Backend(together=True, graphs=lambda device: graphs)


def rerun() -> Backend:
    """A GPU that runs every step as it is written."""
    return Backend(together=True, graphs=lambda device: Rerun())


class _Waits(TorchFunctionMode):
    """Notes calls that wait for the device or bring numbers to it."""

    def __init__(self, waits: list[str]) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READS:
            _note(self._waits, f"{name} reads a value back")
        elif name in _BRINGS and not isinstance(args[-1] if args else None, torch.Tensor):
            _note(self._waits, f"{name} brings numbers from the host")
        return func(*args, **(kwargs or {}))


class _Recorder(Watching):  # type: ignore[no-untyped-call]
    """Keeps every operation, and makes none that would change what was there before.

    Capturing does nothing on a GPU.  Here operations that make new tensors are carried out, so that
    their results have shapes, and those that change what they made; a tensor from outside stays.
    """

    def __init__(self, capture: Capture, waits: list[str]) -> None:
        super().__init__()
        self._capture, self._waits = capture, waits
        self._inside: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        if name in _SIZED_BY_VALUES or (
            name.startswith("index") and any(map(is_mask, tensors(args[1:2])))
        ):
            _note(self._waits, f"{name} makes a tensor whose size depends on values")
        elif name == "_local_scalar_dense":
            _note(self._waits, "a value is read back")
        if all(memory(each) in self._inside for each in written(func, args, kwargs)):
            result = func(*args, **kwargs)
        else:
            result = _unchanged(func, args, kwargs)
        fresh, views = _returned(func, result)
        self._inside.update(map(memory, fresh))
        if not views and func.namespace != "profiler":
            self._capture.calls.append(_Call(func, args, kwargs, tuple(fresh), caller()))
        return result


def _unchanged(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What ``func`` returns, without doing it: the arguments it would have changed."""
    results = []
    for returned in func._schema.returns:
        if returned.alias_info is None:
            raise NotImplementedError(f"{func} changes a tensor and makes another one")
        results += [
            value
            for argument, value in named(func, args, kwargs)
            if argument.alias_info is not None
            and argument.alias_info.before_set & returned.alias_info.before_set
        ]
    return None if not results else results[0] if len(results) == 1 else tuple(results)


def _returned(func: Any, result: Any) -> tuple[list[torch.Tensor], bool]:
    """The tensors that are new, and whether all are views, which a replay has already."""
    results = result if isinstance(result, tuple) else (result,)
    schema = func._schema.returns
    fresh: list[torch.Tensor] = []
    views = bool(schema)
    for returned, value in zip(schema, results, strict=False):
        if returned.alias_info is None:
            views = False
            fresh += tensors(value)
        elif returned.alias_info.is_write:
            views = False
    return fresh, views


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _note(waits: list[str], what: str) -> None:
    text = f"{what} ({caller()})"
    if text not in waits:
        waits.append(text)
