"""A pretended second device: finds tensors on the wrong device without a GPU.

While it is active, ``cpu:0`` plays the device of the task and ``cpu`` the machine that hosts it.
Where a tensor is stands on its storage; operations pass it on.  What would fail on a GPU is noted,
nothing fails here: values are computed as ever.  Where torch does not tell (inside its backward
pass, in functions written in C) a tensor is nowhere, and nowhere goes with everything: what is
found is a fault, but not every fault is found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch.overrides import TorchFunctionMode

from gzsl_bench.engine.audit.observe import Setup
from gzsl_bench.hooks.images import Images
from gzsl_bench.testing.caller import caller

if TYPE_CHECKING:
    from gzsl_bench.engine.handed import Tests

THERE, HOST = "there", "host"
_DEVICE = torch.device("cpu", 0)
_MARK = "_gzsl_bench_where"

#: Functions that may be given tensors of both kinds, or whose result says nothing.
_CROSSING = frozenset(
    {
        "to", "type_as", "tensor", "as_tensor", "copy_", "set_", "__setitem__", "__get__",
        "__set__", "__repr__", "__format__", "is_same_size", "_has_compatible_shallow_copy_type",
    }
)  # fmt: skip


class PretendedDevice(TorchFunctionMode):
    """Within the block, tensors are told apart; ``slips`` says what a GPU would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.slips: list[str] = []

    def __enter__(self) -> Self:
        self._generator, self._from_numpy = torch.Generator, torch.from_numpy
        host = self._from_numpy

        def from_numpy(array: Any) -> torch.Tensor:
            return _mark(host(array), HOST)

        torch.Generator = _Generator  # type: ignore[misc]
        torch.from_numpy = from_numpy  # type: ignore[assignment]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        torch.Generator = self._generator  # type: ignore[misc]
        torch.from_numpy = self._from_numpy

    def place(self, setup: Setup) -> Setup:
        """An setup whose tensors are on the pretended device; call it before the block."""
        task = setup.task
        names = ("features", "labels", "attributes", "seen", "unseen")
        moved: dict[str, Any] = {name: _mark(getattr(task, name).clone(), THERE) for name in names}
        if task.unlabelled is not None:
            moved["unlabelled"] = _mark(task.unlabelled.clone(), THERE)
        for name in ("second", "words", "groups"):
            if getattr(task, name) is not None:
                moved[name] = _mark(getattr(task, name).clone(), THERE)
        if task.regions is not None:
            moved["regions"] = task.regions.to(_DEVICE)
        rows, noise = (_there(shown) for shown in (setup.test_features, setup.noise))
        return Setup(replace(task, **moved), rows, noise)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """One call of torch."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func == torch.Tensor.device.__get__:
            return func(*args) if _where(args[0]) == HOST else _DEVICE
        given = list(_tensors((args, tuple(kwargs.values()))))
        places = {place for x in given if x.dim() and (place := _where(x)) is not None}
        self._look(name, args, kwargs, places)
        result = func(*args, **kwargs)
        target = self._target(name, args, kwargs, given)
        if target is not None:
            if name in ("to", "cpu", "type_as") and target != _where(args[0]):
                result = _copied(result, args[0])
            for tensor in _tensors((result,)):
                _mark(tensor, target)
        return result

    def _look(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], places: set[str]
    ) -> None:
        """Note what a GPU would refuse."""
        if name in ("numpy", "__array__") and _where(args[0]) == THERE:
            self._slip("a tensor of run.device is turned into a numpy array without .cpu()")
        elif name == "__getitem__":
            if _where(args[0]) == HOST and any(_where(x) == THERE for x in _tensors(args[1:])):
                self._slip("a CPU tensor is indexed by one on run.device")
        elif len(places) > 1 and name not in _CROSSING:
            self._slip(f"{name or 'an operation'} gets tensors of run.device and of the CPU")
        generator = kwargs.get("generator")
        if isinstance(generator, _Generator):
            target = _asked(kwargs.get("device")) or (THERE if THERE in places else HOST)
            if target != generator.where:
                self._slip(
                    f"{name} draws on run.device with a CPU generator (run.generator gives these);"
                    " draw on the CPU and move the numbers"
                )

    def _target(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[torch.Tensor]
    ) -> str | None:
        """Where the result is; None if nobody knows."""
        if name == "cpu":
            return HOST
        if name in ("to", "type_as"):
            return _sent_to(args, kwargs)
        asked = _asked(kwargs.get("device"))
        if asked is not None:
            return asked
        if name == "tensor" and not isinstance(args[0] if args else None, torch.Tensor):
            return HOST
        if not given:
            return HOST  # made from nothing, and no device was named
        places = [_where(x) for x in given]
        if name == "__getitem__":
            return places[0]
        if THERE in places:
            return THERE
        return HOST if all(place == HOST for place in places) else None

    def _slip(self, what: str) -> None:
        text = f"{what} ({caller()})"
        if text not in self.slips:
            self.slips.append(text)


class _Generator(torch.Generator):
    """Remembers which device it was made for."""

    where: str

    def __new__(cls, device: Any = None) -> Self:
        made = super().__new__(cls, device="cpu")  # type: ignore[call-arg]
        made.where = _asked(device) or HOST
        return made

    def manual_seed(self, seed: int) -> Self:
        super().manual_seed(seed)
        return self  # torch's own would give a plain generator


def _asked(device: Any) -> str | None:
    """Which of the two a ``device`` argument means."""
    if device is None:
        return None
    return THERE if torch.device(device) == _DEVICE else HOST


def _sent_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Where ``x.to(...)`` puts its result."""
    for value in (*args[1:], kwargs.get("device"), kwargs.get("other")):
        if isinstance(value, torch.Tensor):
            return _where(value)
        if isinstance(value, torch.device | str):
            return _asked(value)
    return _where(args[0])


def _where(tensor: torch.Tensor) -> str | None:
    try:
        return getattr(tensor.untyped_storage(), _MARK, None)
    except (RuntimeError, NotImplementedError):
        return None  # sparse, or a tensor that only stands for others


def _there(shown: Tests) -> Tests:
    """A copy of what scorers are shown, on the pretended device."""
    if isinstance(shown, torch.Tensor):
        return _mark(shown.clone(), THERE)
    second = None if shown.second is None else _mark(shown.second.clone(), THERE)
    regions = None if shown.regions is None else shown.regions.to(_DEVICE)
    return Images(_mark(shown.features.clone(), THERE), regions, second)


def _mark(tensor: torch.Tensor, where: str) -> torch.Tensor:
    with contextlib.suppress(RuntimeError, NotImplementedError):
        setattr(tensor.untyped_storage(), _MARK, where)
    return tensor


def _copied(result: Any, source: Any) -> Any:
    """Moving to another device makes a copy; on one and the same device torch makes none."""
    try:
        same = result.untyped_storage().data_ptr() == source.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return result
    return result.clone() if same else result


def _tensors(values: Iterable[Any], depth: int = 3) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif depth and isinstance(value, list | tuple):
            yield from _tensors(value, depth - 1)
