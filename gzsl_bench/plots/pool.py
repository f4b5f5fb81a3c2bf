"""Drawing many plots on all cores: processes that begin as copies of this one, where that is safe.

matplotlib holds Python's lock, so threads would not help, and a fresh process takes longer to
import everything than to draw a plot.  A copy (fork) has it all, but only of the thread that made
it: where others run, or the system is none where that is reliable, plots are drawn one by one.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from gzsl_bench.records.machine import usable_cores

T = TypeVar("T")
#: More processes than this wait for one another's memory; fewer plots are not worth any.
MOST, FEWEST = 8, 6

#: In a copy: what there is to do.  Plots hold functions, which cannot be sent, only inherited.
_WORK: list[Callable[[], Any]] = []


def on_all_cores(work: Sequence[Callable[[], T]], cores: int | None = None) -> list[T]:
    """The results of functions without arguments, in their order.

    The first one is called here: what it imports and caches is there for all copies.

    Args:
        work: functions whose results can be pickled.
        cores: how many may be used; by default all this process may use.
    """
    count = min(usable_cores() if cores is None else cores, MOST, len(work))
    alone = threading.active_count() == 1 and sys.platform == "linux"
    if count < 2 or len(work) < FEWEST or not alone:
        return [call() for call in work]
    first, rest = work[0](), work[1:]
    with warnings.catch_warnings():
        # Idle threads of libraries count as threads; they hold nothing that drawing needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        context = multiprocessing.get_context("fork")
        try:
            with ProcessPoolExecutor(count, context, _inherit, (rest,)) as pool:
                return [first, *pool.map(_call, range(len(rest)))]
        except (BrokenProcessPool, OSError):  # short of memory or processes
            return [first, *(call() for call in rest)]


def _inherit(work: Sequence[Callable[[], Any]]) -> None:
    _WORK[:] = work


def _call(index: int) -> Any:
    return _WORK[index]()
