"""What the numbers of checkpoints count where that is more than one thing: epochs within epochs.

A GAN that trains a classifier after each of its epochs has a checkpoint for every pair of them.
Numbers count all pairs, the last axis fastest: of axes ``gan_epoch`` 56 and ``classifier_epoch`` 25
number 1400 is the last pair and number 26 the first epoch of the second classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from gzsl_bench.errors import PluginError

#: Names and lengths, the slowest first; none where numbers count one thing alone.
Axes: TypeAlias = Sequence[tuple[str, int]]
#: No training has more checkpoints.
_MOST = 2**53


def axes_of(given: object) -> tuple[tuple[str, int], ...]:
    """The axes that a method declares, checked.

    Raises:
        PluginError: they are none.
    """
    if not isinstance(given, Mapping):
        raise PluginError(f"axes should be a mapping of names to lengths, not {given!r}")
    found = tuple(given.items())
    if why := fault(found):
        raise PluginError(why)
    return found


def fault(axes: Axes, numbers: Iterable[int] = ()) -> str:
    """What is wrong with axes, or with checkpoints that should lie on them; or empty."""
    for name, length in axes:
        if not isinstance(name, str) or not name.isidentifier():
            return f"{name!r} is no name of a checkpoint axis, which is an identifier"
        if type(length) is not int or length < 1:
            return f"the checkpoint axis {name} has the length {length!r}, not a positive number"
    if len({name for name, _ in axes}) < len(axes):
        return "two checkpoint axes have one name"
    total = math.prod(length for _, length in axes)
    if total > _MOST:
        return f"the checkpoint axes have {total} places, more than {_MOST}"
    if not axes:
        return ""
    beyond = next((number for number in numbers if not 1 <= number <= total), None)
    shown = " x ".join(f"{name} {length}" for name, length in axes)
    return "" if beyond is None else f"checkpoint {beyond} does not lie on the axes {shown}"


def position(axes: Axes, number: int) -> dict[str, int]:
    """What a checkpoint's number says of each axis, counted from 1; empty without axes."""
    found: dict[str, int] = {}
    rest = number - 1
    for name, length in reversed(axes):
        rest, place = divmod(rest, length)
        found[name] = place + 1
    return {name: found[name] for name, _ in axes}


def described(axes: Axes, number: int) -> str:
    """A checkpoint's number, with its place where there are several axes."""
    if len(axes) < 2:
        return str(number)
    places = ", ".join(f"{name} {place}" for name, place in position(axes, number).items())
    return f"{number} ({places})"


def along(axes: Axes, axis: str, numbers: Sequence[int]) -> list[int]:
    """The numbers that differ from the last one on one axis at most.

    Args:
        axes: of the training.
        axis: the name of one of them.
        numbers: of its checkpoints, in their order.
    """
    last = position(axes, numbers[-1])
    return [n for n in numbers if position(axes, n) | {axis: last[axis]} == last]
