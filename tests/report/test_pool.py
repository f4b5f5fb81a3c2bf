"""Plots drawn in copies of this process: in order, where that is safe, and whole."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading

import pytest

from gzsl_bench.plots.pool import FEWEST, on_all_cores


def who(number: int) -> tuple[int, int]:
    return number, os.getpid()


def work(count: int):
    return [functools.partial(who, n) for n in range(count)]


def alone() -> bool:
    return threading.active_count() == 1 and sys.platform == "linux"


def test_results_come_in_order_and_from_other_processes():
    found = on_all_cores(work(20), cores=2)
    assert [number for number, _ in found] == list(range(20))
    assert found[0][1] == os.getpid()
    if not alone():
        pytest.skip("other threads run in this process")
    assert os.getpid() not in {process for _, process in found[1:]}


@pytest.mark.parametrize(("count", "cores"), [(FEWEST - 1, 8), (20, 1), (0, 4)])
def test_few_plots_or_one_core_are_not_worth_a_process(count, cores):
    found = on_all_cores(work(count), cores)
    assert {process for _, process in found} <= {os.getpid()}
    assert len(found) == count


def test_beside_other_threads_nothing_is_forked():
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        found = on_all_cores(work(20), cores=4)
    finally:
        over.set()
        other.join()
    assert {process for _, process in found} == {os.getpid()}


def test_an_error_is_raised_here():
    def broken() -> None:
        raise KeyError("what was wrong")

    with pytest.raises(KeyError, match="what was wrong"):
        on_all_cores([*work(10), broken], cores=2)


def test_a_process_that_is_killed_costs_no_plot():
    here = os.getpid()

    def killed() -> tuple[int, int]:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return who(99)

    found = on_all_cores([*work(10), killed], cores=2)
    assert [number for number, _ in found] == [*range(10), 99]
