"""Step times measured on this machine, whatever goes wrong meanwhile."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from operator import methodcaller

import pytest

from gzsl_bench.engine import pace
from gzsl_bench.engine.pace import Unmeasured, measure, median_seconds
from gzsl_bench.engine.placement import Placement


def test_every_candidate_is_measured_here():
    begun = time.monotonic()
    found = measure([Placement(1, 2), Placement(2, 1)], budget=0.02)
    took = time.monotonic() - begun
    assert found.keys() == {(1, 2), (2, 1)}
    # A step moves 6.7 million parameters, gradients and two moments through the optimiser, 107 MB:
    # no processor does that in 0.1 ms.  Two of three steps take the median or longer, in each pass.
    assert all(1e-4 < seconds < took / 4 for seconds in found.values())
    assert not multiprocessing.active_children()


def test_the_median_of_steps_by_hand(monkeypatch):
    moments = iter([0.0, 5.0, 6.0, 8.0, 8.5, 20.0])
    monkeypatch.setattr(pace.time, "perf_counter", lambda: next(moments))
    assert median_seconds(lambda: None, 1.0) == 2.0  # of 5, 1, 2: three at least
    moments = iter([0.0, 5.0, 6.0, 8.0, 8.5, 20.0])
    assert median_seconds(lambda: None, 8.2) == 1.5  # of 5, 1, 2, 0.5


def test_the_slowest_process_counts_and_the_better_pass(monkeypatch):
    """Two processes that answer 3 and 5 s, then 4 and 2 s: 4 s."""
    answers = iter([[0.0, 0.0], [3.0, 5.0], [0.0, 0.0], [4.0, 2.0]])
    monkeypatch.setattr(pace._Crew, "start", lambda self, count: None)
    monkeypatch.setattr(pace._Crew, "_tell", lambda self, count, message: None)
    monkeypatch.setattr(pace._Crew, "_hear", lambda self, count: next(answers))
    assert measure([Placement(2, 1)]) == {(2, 1): 4.0}


@pytest.mark.parametrize(
    ("serve", "limit", "complaint"),
    [
        (methodcaller("poll", 600), 0.5, "the measurement took too long"),
        (methodcaller("close"), 60.0, "a process that measures ended with exit code 0"),
        (methodcaller("send", "MemoryError: torch"), 60.0, "MemoryError: torch"),
    ],
    ids=["deaf", "dying", "failing"],
)
def test_nothing_hangs_and_nobody_is_left(monkeypatch, serve, limit, complaint):
    monkeypatch.setattr(pace, "_serve", serve)
    begun = time.monotonic()
    with pytest.raises(Unmeasured, match=complaint):
        measure([Placement(2, 1)], limit=limit)
    assert time.monotonic() - begun < 30
    assert not multiprocessing.active_children()


def test_a_system_that_starts_no_more_processes(monkeypatch):
    def refuse(self):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with pytest.raises(Unmeasured, match="BlockingIOError: .*temporarily unavailable"):
        measure([Placement(2, 1)])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_their_parent(number):
    """Ctrl-C hits all of them, and is for the parent to decide on; a kill hits the parent alone."""
    code = (
        "import time\nfrom gzsl_bench.engine import pace\n"
        "from gzsl_bench.engine.placement import Placement\n"
        "crew = pace._Crew(time.monotonic() + 600)\n"
        "try:\n"
        "    crew.start(2)\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        crew.train(Placement(2, 1), 0.2)\n"
        "finally:\n"
        "    crew.dismiss()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.kill()
        process.wait(30)
        deadline = time.monotonic() + 30
        with contextlib.suppress(ProcessLookupError):  # the group is empty
            while time.monotonic() < deadline:
                os.killpg(process.pid, 0)
                time.sleep(0.05)
            pytest.fail("processes are left")
        # The parent alone has something to say.
        assert process.stderr.read().count("Traceback") == (number == signal.SIGINT)
