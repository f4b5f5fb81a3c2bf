"""Parts of the supervision that need no worker: limits, captured output, trees of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from multiprocessing import connection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gzsl_bench.engine.failure import crash_report
from gzsl_bench.executors import processes
from gzsl_bench.executors.limits import parse_duration, parse_size
from gzsl_bench.executors.output import KEPT, Output
from gzsl_bench.executors.shelf import Shelf


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("1h30m", 5400), ("2D", 172800)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GiB", 8 * 1024**3), ("8G", 8 * 1024**3), ("500MB", 5 * 10**8), ("0.5 gib", 2**29),
     ("123", 123), ("123B", 123)],
)  # fmt: skip
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "soon", "-1s", "0", "1y", "1h 2", "s", "1..5s", "inf"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="write 90s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "0", "8XB", "GiB", "nan"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="write 8GiB"):
        parse_size(text)


@given(st.text(max_size=12))
def test_any_text_is_a_measure_or_a_sentence(text):
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) > 0
        except ValueError as error:
            assert "; write " in str(error)


def test_output_is_bounded_and_its_end_is_kept():
    reading, printed = connection.Pipe(duplex=False)
    answering, ask = connection.Pipe()
    output = Output(reading, answering, Shelf())
    output.start()

    def tail() -> str:
        ask.send_bytes(b"tell")
        assert ask.poll(20)
        return ask.recv_bytes().decode()

    os.write(printed.fileno(), b"hello\n")
    assert tail() == "hello\n"
    total = 6
    for number in range(40):
        total += os.write(printed.fileno(), f"{number:07d} ".encode() * 4096)
    note, _, kept = tail().partition("\n")
    assert note == f"[{total - KEPT} bytes of output before this were dropped]"
    assert len(kept) == KEPT
    assert kept.endswith("0000039 0000039 ")
    # What a worker printed and nobody read yet is there after its death.
    os.write(printed.fileno(), b"last words")
    printed.close()
    assert output.finish().endswith("0000039 last words")
    assert not output.is_alive()


SLEEPER = "import time; time.sleep(600)"


@pytest.mark.skipif(not processes.available(), reason="needs /proc")
def test_a_tree_is_found_and_ended_whatever_became_of_the_links():
    tag = f"test-{os.getpid()}"
    program = (
        "import os, subprocess, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    if os.fork() == 0: time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        f"subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])\n"
        "time.sleep(600)\n"
    )
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER])
    root = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, processes.TAG: tag}, process_group=0
    )
    try:
        deadline = time.monotonic() + 60
        while len(processes.tree(root.pid, tag)) < 3:
            assert time.monotonic() < deadline, "the processes did not come up"
            time.sleep(0.05)
        found = processes.tree(root.pid, tag)
        assert root.pid in found
        assert not found & {os.getpid(), os.getppid(), stranger.pid}
        assert 0 < processes.held(found) <= processes.resident(found)
        root.kill()
        root.wait()
        assert processes.tree(root.pid, tag) == found - {root.pid}
        assert processes.kill_tree(root.pid, tag) == 2
        assert processes.tree(root.pid, tag) == set()
        assert stranger.poll() is None
    finally:
        processes.kill_tree(root.pid, tag)
        stranger.kill()
        stranger.wait()


def test_the_report_of_a_crash_is_found_in_the_output():
    report = (
        "Fatal Python error: Segmentation fault\n\n"
        "Current thread 0x00007f (most recent call first):\n"
        '  File "p.py", line 3 in fit\n'
    )
    assert crash_report("epoch 1\nepoch 2\n" + report) == report
    ended = "Thread 0x01 (most recent call first):\n  one\n\nCurrent thread 0x02 (most\n  two\n"
    assert crash_report("loss 0.1\n" + ended) == ended
    assert crash_report("nothing of the kind: Fatal Python error\n") == ""
