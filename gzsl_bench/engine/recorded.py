"""A scorer written down: the tensors it computes with, and its operations in their order.

Whatever a scorer is made of, closures or modules or a stack's layers, what it does to rows is a
sequence of operations of ATen, the library under torch.  They are noted while it scores the test
rows; done again on as many rows they give the same bits.  So a model can be kept without a line in
its method.  What cannot be noted is refused: random numbers, decisions by values, and whatever
leaves tensors, which shows when rows are scored in both ways that were not there before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakTensorKeyDictionary

from gzsl_bench.engine.operations import Watching, is_mask, memory, tensors, written
from gzsl_bench.errors import NotApplicable, RecordError
from gzsl_bench.hooks.run import ScoreFunction

#: Values of these types are written as {key: name}.
_NAMED: Mapping[str, type] = {
    "dtype": torch.dtype,
    "layout": torch.layout,
    "memory_format": torch.memory_format,
}
#: Marks of operations whose results, or what Python does with them, rest on more than the rows.
_UNFIT = {
    torch.Tag.nondeterministic_seeded: "draws random numbers",
    torch.Tag.data_dependent_output: "decides by values",
    torch.Tag.dynamic_output_shape: "chooses by values how many there are",
}
_PLAIN = (bool, int, float, str, type(None))
#: A cache line, in bytes.
_LINE = 64
#: Operations that reach beyond tensors.
_FORBIDDEN = {"from_file"}


@dataclass(frozen=True)
class _Value:
    """Stands where an operation was given a tensor: 0 is the rows, others as they came."""

    number: int


class RecordedScorer:
    """Does again what a scorer did.

    Attributes:
        program: JSON: for how many ``rows`` it is; of the ``constants`` strides and offset from a
            cache line, which decide how products are rounded, and whether they lie where the rows
            do; ``steps``, each the name of an operation, what it is given and the numbers of its
            results; the number of the ``scores``.
        state: the constants, named ``constant_N``.
        rows: how many it takes at once.
    """

    def __init__(
        self, program: str, state: Mapping[str, torch.Tensor], device: torch.device
    ) -> None:
        """Make it ready to compute on ``device``.

        Raises:
            RecordError: it was not written by this module, or for another version of torch.
        """
        self.program, self.state = program, state
        try:
            told = json.loads(program)
            self.rows, self._scores = int(told["rows"]), int(told["scores"])
            self._constants = {
                int(number): _placed(
                    state[_name(number)], lay, device if beside else torch.device("cpu")
                )
                for number, (lay, beside) in told["constants"].items()
            }
            self._steps = [
                (
                    _operation(name),
                    _read(args, device),
                    {key: _read(value, device) for key, value in kwargs.items()},
                    results,
                )
                for name, args, kwargs, results in told["steps"]
            ]
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RecordError(f"the kept operations cannot be read: {error}") from None
        self._last = _last_uses(self._steps, self._scores)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """[M, D] -> [M, C]; in blocks of as many rows as were recorded, the last one filled up."""
        scores = []
        for rows in torch.split(features, self.rows):
            places = torch.arange(self.rows, device=rows.device) % max(1, len(rows))
            full = rows if len(rows) == self.rows else rows[places]
            scores.append(self._block(full)[: len(rows)])
        return torch.cat(scores)

    @torch.no_grad()
    def _block(self, rows: torch.Tensor) -> torch.Tensor:
        values: dict[int, torch.Tensor] = {0: rows, **self._constants}

        def given(value: Any) -> Any:
            return values[value.number] if isinstance(value, _Value) else value

        for (operation, args, kwargs, results), done in zip(self._steps, self._last, strict=True):
            found = operation(*pytree.tree_map(given, args), **pytree.tree_map(given, kwargs))
            values.update(zip(results, tensors(found), strict=True))
            for number in done:
                del values[number]
        return values[self._scores]


def record(scorer: ScoreFunction, rows: torch.Tensor) -> RecordedScorer:
    """What ``scorer`` does to ``rows`` [N, D], once it is shown to do the same to others.

    Raises:
        NotApplicable: it does something that cannot be done again; says what.
    """
    with torch.no_grad():
        recorder = _Recorder(rows)
        with recorder:
            scores = scorer(rows)
        recorded = recorder.written(scores)
        for shown in (rows, (rows + rows.roll(1, 0)) / 2):
            if not torch.equal(recorded(shown), scorer(shown)):
                raise NotApplicable("its scorer computes with something else than tensors")
    return recorded


class _Recorder(Watching):  # type: ignore[no-untyped-call]
    """Notes every operation between entry and exit."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self._rows, self._count = rows, 0
        self._numbers: Any = WeakTensorKeyDictionary()
        self._numbers[rows] = 0
        self._constants: dict[int, torch.Tensor] = {}
        #: Where constants lie: no operation may write there.
        self._fixed: set[int] = set()
        self._steps: list[Any] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do it, and note it."""
        kwargs = kwargs or {}
        if self._views_a_constant(func, args):
            return func(*args, **kwargs)
        told = pytree.tree_map(self._given, [list(args), kwargs])
        what = next((what for tag, what in _UNFIT.items() if tag in func.tags), "")
        if func is torch.ops.aten.index.Tensor and not any(map(is_mask, args[1])):
            what = ""
        if func.namespace != "aten":
            what = "leaves PyTorch's own operations"
        elif self._fixed.intersection(map(memory, written(func, args, kwargs))):
            what = "changes its own tensors"
        if what:
            raise NotApplicable(f"its scorer {what} ({func}), which cannot be done again")
        found = func(*args, **kwargs)
        results = [self._new(each) for each in tensors(found)]
        self._steps.append([str(func), *told, results])
        return found

    def written(self, scores: torch.Tensor) -> RecordedScorer:
        """All that was noted, of which ``scores`` came."""
        program = {
            "rows": len(self._rows),
            "constants": {
                number: [_lies(tensor), tensor.device == self._rows.device]
                for number, tensor in self._constants.items()
            },
            "steps": self._steps,
            "scores": self._given(scores)["tensor"],
        }
        state = {_name(n): tensor.contiguous() for n, tensor in self._constants.items()}
        return RecordedScorer(json.dumps(program), state, self._rows.device)

    def _views_a_constant(self, func: Any, args: tuple[Any, ...]) -> bool:
        """Whether all it does is to show a part of a constant: only that part is kept then."""
        returned = func._schema.returns
        views = returned and all(r.alias_info and not r.alias_info.is_write for r in returned)
        return bool(views) and _is_tensor(args[0]) and args[0] not in self._numbers

    def _new(self, tensor: torch.Tensor) -> int:
        self._count += 1
        self._numbers[tensor] = self._count
        return self._count

    def _given(self, value: Any) -> Any:
        """An argument as JSON; a tensor that no operation made is a constant."""
        if _is_tensor(value):
            if value not in self._numbers:
                self._constants[self._new(value)] = value
                self._fixed.add(memory(value))
            return {"tensor": self._numbers[value]}
        if isinstance(value, torch.device):
            return {"device": "" if value.type == self._rows.device.type else str(value)}
        for key, kind in _NAMED.items():
            if isinstance(value, kind):
                return {key: str(value).removeprefix("torch.")}
        if isinstance(value, _PLAIN):
            return value
        raise NotApplicable(f"its scorer computes with a {type(value).__name__}")


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _name(number: int) -> str:
    return f"constant_{number}"


def _operation(name: str) -> Callable[..., Any]:
    """An operation by its full name.

    Raises:
        ValueError: it is none of a scorer's.
        AttributeError: there is none of that name.
    """
    space, packet, overload = name.split(".")
    if space != "aten" or packet in _FORBIDDEN:
        raise ValueError(f"{name} is no operation of a scorer")
    found: Callable[..., Any] = getattr(getattr(torch.ops.aten, packet), overload)
    return found


def _read(told: Any, device: torch.device) -> Any:
    """An argument from JSON."""
    if isinstance(told, list):
        return [_read(each, device) for each in told]
    if not isinstance(told, dict):
        return told
    ((key, value),) = told.items()
    if key == "tensor":
        return _Value(int(value))
    if key == "device":
        return torch.device(value) if value else device
    if not isinstance(found := getattr(torch, value), _NAMED[key]):
        raise ValueError(f"{value} is no {key}")
    return found


def _lies(tensor: torch.Tensor) -> list[int]:
    """How far behind the beginning of a cache line it begins, and its strides."""
    return [tensor.data_ptr() % _LINE // tensor.element_size(), *tensor.stride()]


def _placed(tensor: torch.Tensor, lay: list[int], device: torch.device) -> torch.Tensor:
    """The same numbers in memory as they lay: kernels, and so rounding, are chosen by it."""
    offset, *stride = lay
    sizes = [size if step else 1 for size, step in zip(tensor.shape, stride, strict=True)]
    span = 1 + sum((size - 1) * step for size, step in zip(sizes, stride, strict=True))
    memory = torch.empty(offset + max(1, span), dtype=tensor.dtype, device=device)
    found = memory.as_strided(sizes, stride, offset)
    return found.copy_(tensor[tuple(map(slice, sizes))]).expand(tensor.shape)


def _last_uses(steps: list[Any], scores: int) -> list[list[int]]:
    """For each step the numbers that nobody needs after it: results, for constants stay."""
    made = {number for *_, results in steps for number in results}
    last: dict[int, int] = {}
    for place, (_, args, kwargs, results) in enumerate(steps):
        used = [v.number for v in pytree.tree_leaves([args, kwargs]) if isinstance(v, _Value)]
        last.update(dict.fromkeys([*used, *results], place))
    done: list[list[int]] = [[] for _ in steps]
    for number in made - {scores}:
        done[last[number]].append(number)
    return done
