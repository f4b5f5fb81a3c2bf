"""Two trainings that take turns, an epoch each: what disturbs the machine disturbs both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


@dataclass
class Turn(Generic[T]):
    """One of the trainings.

    Attributes:
        wall: seconds of each of its turns.
        cpu: processor seconds of the whole process in each of its turns.
        result: what it gave.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    result: T | None = None


class Baton:
    """Goes from one thread to the next; whoever holds it works, the others wait."""

    def __init__(self, holders: int) -> None:
        self._changed = threading.Condition()
        self._left = list(range(holders))
        self._holder = 0

    def wait(self, me: int) -> None:
        """Until it is ``me``'s turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._holder == me)

    def hand_over(self, me: int, *, last: bool = False) -> None:
        """The next one's turn; ``last`` leaves the round."""
        with self._changed:
            position = self._left.index(me)
            following = self._left[(position + 1) % len(self._left)]
            if last:
                self._left.remove(me)
            self._holder = following
            self._changed.notify_all()


def in_turns(works: Sequence[Callable[[Callable[[], None]], T]], threads: int) -> list[Turn[T]]:
    """Let ``works`` train side by side, one at a time.

    Args:
        works: each is given a function to call at the end of every epoch, which returns when it
            is its turn again.
        threads: CPU threads of each.
    """
    baton = Baton(len(works))

    def run(me: int) -> Turn[T]:
        turn: Turn[T] = Turn()
        baton.wait(me)
        torch.set_num_threads(threads)  # a setting of each thread
        begun = [time.perf_counter(), time.process_time()]

        def over(last: bool = False) -> None:
            turn.wall.append(time.perf_counter() - begun[0])
            turn.cpu.append(time.process_time() - begun[1])
            baton.hand_over(me, last=last)
            if not last:
                baton.wait(me)
                begun[:] = time.perf_counter(), time.process_time()

        try:
            turn.result = works[me](over)
        finally:
            over(last=True)
        return turn

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, range(len(works))))
