"""Bars are judged by the figures of the runs they are about; a GPU's epochs are timed rightly."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks import measure
from benchmarks.bars import bars
from benchmarks.measure import Step, steady
from benchmarks.plugin_runs import Clock, random_task, warm_up
from benchmarks.roofline import Rates
from gzsl_bench.stacked import Repeat
from gzsl_bench.stacked.backend import Backend, pretending

GPU = torch.device("cuda")


def step(stage, runs, per_run, plain, share=None, method="acmr", precision="float32"):
    least = None if share is None else share * per_run
    return Step(stage, method, precision, runs, runs * per_run, plain, least)


def test_a_gpu_is_judged_by_ten_runs():
    steps = [step("vae", 1, 2.0, 6.0, 0.9), step("vae", 10, 0.25, 6.0, 0.55),
             step("classifier", 10, 0.004, 1.0)]  # fmt: skip
    # ACMR on CUB: 100 epochs of 142 steps; 50 of (150 * 200 + 50 * 390) // 32 = 1546.
    whole = (14200 * 6 + 77300 * 1) / (14200 * 0.25 + 77300 * 0.004)
    found = list(bars(steps, "CUB", True))
    assert {bar.wanted: bar.reached for bar in found} == {
        0.6: pytest.approx(0.55), 200: pytest.approx(250), 30: pytest.approx(whole)
    }  # fmt: skip
    assert [bar.verdict for bar in found[:2]] == ["missed (-8 %)", "met (+25 %)"]


def test_a_cpu_is_judged_by_one_run():
    steps = [
        step("vae", 1, 2.0, 3.0, 0.75),
        step("vae", 1, 2.0 / 1.23, 3.0, 0.75, precision="bf16"),
        step("vae", 1, 2.0, 3.0, 0.5, method="cada_vae"),
        step("classifier", 1, 1.0, 9.0),
    ]
    whole = (14200 * 3 + 77300 * 9) / (14200 * 2 + 77300)
    assert [(bar.wanted, bar.reached) for bar in bars(steps, "CUB", False)] == [
        (0.7, pytest.approx(0.75)),
        (8, pytest.approx(9)),
        (1.4, pytest.approx(whole)),
        (1.3, pytest.approx(1.23)),
        (0.7, pytest.approx(0.5)),
    ]


def test_what_was_not_measured_is_not_judged():
    assert list(bars([step("vae", 1, 1.0, 1.0, 1.0)], "CUB", True)) == []


def test_a_step_is_timed_in_either_stage(monkeypatch):
    monkeypatch.setattr(measure, "ROWS", 60)
    bench = measure.Bench("CUB", random_task(12, 7, 6, 3, 95, "cpu"), 1)
    kernels = SimpleNamespace(rates=lambda: Rates(1e9, 1e9))
    monkeypatch.setattr(measure, "Kernels", lambda device: kernels)
    for stage, least in (("vae", True), ("classifier", False)):
        (found,), rates = measure.measure(bench, stage, "acmr", [(2, "float32")])
        assert found.seconds > 0 < found.plain
        assert rates == Rates(1e9, 1e9)
        assert (found.least is not None) == least == (found.share is not None)


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
