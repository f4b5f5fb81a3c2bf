"""Trainings that take turns: one at a time, an epoch each, until the last has ended."""

from __future__ import annotations

import threading

import pytest

from benchmarks.turns import in_turns


def test_epochs_alternate_and_the_longer_training_goes_on_alone():
    seen, busy = [], threading.Lock()

    def training(name, epochs):
        def work(after_epoch):
            for epoch in range(epochs):
                assert busy.acquire(blocking=False)  # nobody else is at work
                seen.append(f"{name}{epoch}")
                busy.release()
                after_epoch()
            seen.append(name)
            return name

        return work

    turns = in_turns([training("a", 2), training("b", 4), training("c", 1)], threads=1)
    assert seen == ["a0", "b0", "c0", "a1", "b1", "c", "a", "b2", "b3", "b"]
    assert [turn.result for turn in turns] == ["a", "b", "c"]
    # A turn for every epoch, and one for what comes after the last.
    assert [len(turn.wall) for turn in turns] == [3, 5, 2]
    assert all(span >= 0 for turn in turns for span in (*turn.wall, *turn.cpu))


def test_a_training_that_fails_ends_the_comparison_and_not_the_others():
    seen = []

    def fails(after_epoch):
        after_epoch()
        raise ValueError("diverged")

    def works(after_epoch):
        for epoch in range(3):
            seen.append(epoch)
            after_epoch()

    with pytest.raises(ValueError, match="diverged"):
        in_turns([fails, works], threads=1)
    assert seen == [0, 1, 2]
