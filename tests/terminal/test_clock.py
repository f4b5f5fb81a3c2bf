"""How far a single training is."""

from __future__ import annotations

import sys

import pytest

from gzsl_bench.terminal import clock as module
from gzsl_bench.terminal.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """The time, to be set."""
    seconds = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    return seconds


def test_the_clock_estimates_from_what_is_done(capsys, now):
    with Clock("training x again") as clock:
        clock.progress(1, 100)  # too early to say anything
        now[0] += 60
        clock.progress(25, 100)
        now[0] += 1
        clock.progress(26, 100)
        now[0] += 7200
        clock.progress(50, 100)
    assert capsys.readouterr().err.splitlines() == [
        "training x again",
        "training x again: 25 %, about 3 min left",  # 60 s for a quarter
        "training x again: 50 %, about 2.0 h left",
        "training x again: done in 2.0 h",
    ]


def test_an_error_begins_a_line_of_its_own_on_a_terminal(capsys, now, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(ValueError, match="no"), Clock("training") as clock:  # noqa: PT012
        now[0] += 60
        clock.progress(1, 2)
        raise ValueError("no")
    said = capsys.readouterr().err
    assert said.endswith("left\x1b[K\n")
    assert "done" not in said
