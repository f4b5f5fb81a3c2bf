"""Plots drawn in copies of this process: in order, where that is safe, and whole."""

from __future__ import annotations

import ast
import functools
import os
import signal
import subprocess
import sys
import threading

import pytest

from gzsl_bench.plots.pool import FEWEST, on_all_cores


def who(number: int) -> tuple[int, int]:
    return number, os.getpid()


def work(count: int):
    return [functools.partial(who, n) for n in range(count)]


#: For a process of its own: in this one threads that other tests left may run.
ALONE = """
import functools, os
from gzsl_bench.plots.pool import on_all_cores

def who(number):
    return number, os.getpid()

print(os.getpid(), on_all_cores([functools.partial(who, n) for n in range(20)], cores=2))
"""


def test_results_come_in_order_and_from_other_processes():
    said = subprocess.run([sys.executable, "-c", ALONE], check=True, capture_output=True, text=True)
    here, _, found = said.stdout.partition(" ")
    numbers, processes = zip(*ast.literal_eval(found), strict=True)
    assert numbers == tuple(range(20))
    assert processes[0] == int(here)
    assert int(here) not in processes[1:]


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
