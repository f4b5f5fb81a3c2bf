"""Words that follow from numbers."""

from __future__ import annotations

import pytest

from gzsl_bench.wording import about, counted, duration


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(0, "cell", "0 cells"), (1, "unseen class", "1 unseen class"), (2, "class", "2 classes")],
)
def test_things_are_counted(number, noun, said):
    assert counted(number, noun) == said


@pytest.mark.parametrize(
    ("seconds", "rough", "exact"),
    [
        (0.5, "0.5 s", "0.5 s"), (3.44, "3.4 s", "3.44 s"), (90, "90 s", "90 s"),
        (450, "8 min", "7.5 min"), (5400, "90 min", "90 min"), (8100, "2.2 h", "2.25 h"),
    ],
)  # fmt: skip
def test_durations(seconds, rough, exact):
    assert (duration(seconds), duration(seconds, exact=True)) == (rough, exact)


def test_estimates_are_rounder():
    assert [about(s) for s in (4.4, 89, 98, 5500)] == [
        "about 4 s", "about 89 s", "about 2 min", "about 1.5 h"
    ]  # fmt: skip
