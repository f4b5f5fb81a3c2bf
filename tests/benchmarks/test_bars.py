"""Bars are judged by the figures of the runs they are about; a GPU's epochs are timed rightly."""

from __future__ import annotations

import pytest
import torch

from benchmarks.bars import bars
from benchmarks.measure import steady
from benchmarks.plugin_runs import Clock, warm_up
from gzsl_bench.stacked import Repeat
from gzsl_bench.stacked.backend import Backend, pretending

GPU = torch.device("cuda")


def stack(runs, per_run, plain, roofline=1.0):
    return {
        "runs": runs, "per_run": per_run, "times_faster_than_plain": plain / per_run,
        "fraction_of_roofline": roofline,
    }  # fmt: skip


def result(device, **parts):
    return {"hardware": {"device": device}, "dataset": "CUB", **parts}


def reached(found):
    return {(bar.what.split(",")[0], bar.wanted): (bar.reached, bar.met) for bar in found}


def test_a_gpu_is_judged_by_ten_runs():
    step = {"method": "acmr", "plain": 6.0,
            "stacks": [stack(1, 2.0, 6.0, 0.9), stack(10, 0.25, 6.0, 0.55)]}  # fmt: skip
    classifier = {"method": "acmr", "plain": 1.0, "stacks": [stack(10, 0.004, 1.0)]}
    found = bars(result("cuda:0", step=[step], classifier=[classifier]))
    # ACMR on CUB: 100 epochs of 142 steps; 50 of (150 * 200 + 50 * 390) // 32 = 1546.
    whole = (14200 * 6 + 77300 * 1) / (14200 * 0.25 + 77300 * 0.004)
    assert {bar.wanted: (bar.reached, bar.met) for bar in found} == {
        60: (pytest.approx(55), False),
        200: (pytest.approx(250), True),
        30: (pytest.approx(whole), whole > 30),
    }
    assert found[0].line().endswith("55 %, bar 60 %: missed (-8 %)")


def test_a_cpu_is_judged_by_one_run():
    def part(method, per_run, plain, roofline=1.0):
        return {"method": method, "plain": plain, "stacks": [stack(1, per_run, plain, roofline)]}

    found = bars(
        result(
            "cpu",
            step=[part("acmr", 2.0, 3.0, 0.75), part("cada_vae", 2.0, 3.0, 0.5)],
            classifier=[part("acmr", 1.0, 9.0)],
            precision={"steps": [{"precision": "float32", "times_faster": 1.0},
                                 {"precision": "bf16", "times_faster": 1.23}]},
        )
    )  # fmt: skip
    whole = (14200 * 3 + 77300 * 9) / (14200 * 2 + 77300)
    assert [(bar.wanted, bar.reached, bar.met) for bar in found] == [
        (70, pytest.approx(75), True),
        (70, pytest.approx(50), False),
        (8, pytest.approx(9), True),
        (1.4, pytest.approx(whole), True),
        (1.3, pytest.approx(1.23), False),
    ]


def test_what_was_not_measured_is_not_judged():
    assert bars(result("cuda:0", step=[{"method": "acmr", "plain": 1.0, "stacks": []}])) == []


def test_a_gpus_epochs_are_averaged_after_those_that_warm_up():
    assert steady([9.0, 7.0, 1.0, 3.0, 1.0, 1.0], GPU) == 1.5
    assert steady([9.0, 2.0, 1.0, 4.0], torch.device("cpu")) == 2.0


class Noting:
    """Captures and replays nothing, and notes when it should."""

    def __init__(self):
        self.happened = []

    def aside(self, work):
        work()

    def capture(self, work):
        self.happened.append("capture")
        return lambda: self.happened.append("replay")


def test_nothing_is_captured_after_the_warm_up():
    """What is timed on a GPU is replayed graphs."""
    graphs = Noting()
    with pretending(Backend(together=True, graphs=lambda device: graphs)):
        repeat = Repeat(lambda x: None, torch.device("cpu"))
    block = torch.zeros(142, 3)
    for _ in range(warm_up(GPU)):
        repeat([block])
    assert "capture" in graphs.happened
    graphs.happened.clear()
    repeat([block])
    assert graphs.happened == ["replay"] * 3


def test_a_clock_waits_for_the_device_where_it_is_read(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    clock = Clock(GPU, range(3, 5))
    for _ in range(6):
        clock.progress(0, 0)
    assert len(clock.times) == 6
    assert waited == [GPU] * 4  # not after the third and fourth
