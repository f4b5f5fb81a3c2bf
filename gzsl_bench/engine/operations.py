"""Operations of ATen, the library under torch, as they are called: what is given, and changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_MASKS = (torch.bool, torch.uint8)


class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Is told of every operation between entry and exit."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch asks this when the class is made; else the first operation imports its compiler,
        # only to switch it off, which takes seconds.
        return False


def named(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each argument of the schema with its value, those left out left out."""
    for position, argument in enumerate(func._schema.arguments):
        if not argument.kwarg_only and position < len(args):
            yield argument, args[position]
        elif argument.name in kwargs:
            yield argument, kwargs[argument.name]


def written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that an operation changes."""
    for argument, value in named(func, args, kwargs):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from tensors(value)


def tensors(values: Any) -> list[torch.Tensor]:
    """The tensors among values, however they are nested."""
    return [each for each in pytree.tree_leaves(values) if isinstance(each, torch.Tensor)]


def is_mask(value: object) -> bool:
    """Whether indexing by it makes a tensor whose size depends on its values."""
    return isinstance(value, torch.Tensor) and value.dtype in _MASKS


def memory(tensor: torch.Tensor) -> int:
    """Where a tensor's numbers lie; views have the same."""
    return tensor.untyped_storage().data_ptr()
