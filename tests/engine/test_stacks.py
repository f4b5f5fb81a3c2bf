"""Dividing units to fit the device: arithmetic, memory of the division, halving."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gzsl_bench import BatchedMethod, Config, MethodSpec, stackable
from gzsl_bench.engine import stacks
from gzsl_bench.engine.units import Unit, plan, unfinished
from gzsl_bench.records.layout import Layout

GIB = 1 << 30


class Knobs(Config):
    weight: float = stackable(1.0, "a loss weight")


class Greedy(BatchedMethod):
    """Takes 1 GiB for each of its runs, of which there are 3.5 in all."""

    Config = Knobs
    tried: list[list[int]] = []  # noqa: RUF012

    def fit_batch(self, task, runs):
        self.tried.append([run.seed for run in runs])
        if len(runs) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        weights = torch.eye(task.num_classes)
        return [lambda x: x.new_zeros(len(x), len(weights)) + weights[0] for _ in runs]


GREEDY = MethodSpec("greedy", Greedy, citation="", fidelity="paper")


@pytest.fixture(autouse=True)
def _fresh():
    Greedy.tried.clear()


def suite(seeds):
    return f"name: s\ndatasets: [tiny]\nmethods: [greedy]\nseeds: {seeds}\n"


def test_the_largest_stack_by_hand():
    # 1 GiB shared, 2 GiB for each run; 0.85 * 20 = 17 GiB hold 8 runs.
    assert stacks.largest_stack(3 * GIB, 5 * GIB, 20 * GIB) == 8
    assert stacks.largest_stack(3 * GIB, 5 * GIB, 2 * GIB) == 1  # one is always tried
    assert stacks.largest_stack(0, 0, GIB) > 1000


@given(st.integers(1, 100), st.integers(1, 40))
def test_stacks_are_even_and_none_is_too_large(count, size):
    parts = stacks.cut(range(count), size)
    assert [number for part in parts for number in part] == list(range(count))
    assert len(parts) == -(-count // size)
    assert max(map(len, parts)) <= size
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_stack_that_does_not_fit_is_halved_until_it_does(
    make_registry, resolve_text, run_inline, tmp_path
):
    registry = make_registry(GREEDY)
    cells = resolve_text(suite(7), registry).cells
    outcome, store, _ = run_inline(cells, registry, stack=10)
    assert (outcome.exit_code, outcome.done) == (0, 7)
    # 7 -> 4 + 3; 4 -> 2 + 2.
    assert Greedy.tried == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3], [0, 1], [2, 3], [4, 5, 6]]
    (unit,) = plan(cells, registry, 10)
    written = json.loads(store.layout.unit(unit.name).read_text())
    assert [len(keys) for keys in written["stacks"]] == [2, 2, 3]
    trained = store.read(cells[5].key).provenance.trained
    assert trained == tuple(cell.key for cell in cells[4:])


def test_a_lone_run_that_does_not_fit_fails_with_the_reason(
    make_registry, resolve_text, run_inline, monkeypatch
):
    def never(self, task, runs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Greedy, "fit_batch", never)
    registry = make_registry(GREEDY)
    outcome, _, _ = run_inline(resolve_text(suite(2), registry).cells, registry, stack=10)
    assert outcome.exit_code == 1
    assert [r.cause for r in outcome.failed] == ["OutOfMemoryError: CUDA out of memory"] * 2


def test_the_division_is_used_again_on_resume(make_registry, resolve_text, run_inline, tmp_path):
    registry = make_registry(GREEDY)
    cells = resolve_text(suite(7), registry).cells
    _, store, _ = run_inline(cells, registry, stack=10)
    Greedy.tried.clear()
    # As if the run had been killed after two of the three stacks.
    for cell in cells[4:]:
        for file in store.layout.cell(cell.key).iterdir():
            file.unlink()
        store.layout.cell(cell.key).rmdir()
    outcome, _, _ = run_inline(cells, registry, stack=10)
    assert outcome.exit_code == 0
    assert Greedy.tried == [[4, 5, 6]]


def test_a_division_of_other_cells_is_not_taken(make_registry, resolve_text, tmp_path):
    registry, layout = make_registry(GREEDY), Layout(tmp_path)
    cells = resolve_text(suite(4), registry).cells
    (unit,) = plan(cells, registry, 10)
    assert stacks.remembered(layout, unit) is None
    stacks.remember(layout, unit, stacks.Composition(stacks.cut(unit.cells, 2), {"one": 1}))
    known = stacks.remembered(layout, unit)
    assert known.stacks == (cells[:2], cells[2:])
    (rest,) = unfinished([unit], {cells[0].key})
    assert stacks.remembered(layout, rest).stacks == (cells[1:2], cells[2:])
    stacks.remember(layout, unit, stacks.Composition((unit.cells[:3],), {}))
    assert stacks.remembered(layout, unit) is None
    layout.unit(unit.name).write_text("{")
    assert stacks.remembered(layout, unit) is None


class FakeTask:
    device = torch.device("cpu")


def test_the_memory_of_one_and_two_runs_decides(make_registry, resolve_text):
    registry = make_registry(GREEDY)
    cells = resolve_text(suite(10), registry).cells
    unit = Unit("u", cells)

    def meter(make, task, run, count):
        return GIB + 2 * GIB * count

    found = stacks.compose(
        unit, lambda: None, FakeTask(), None, meter=meter, free=lambda device: 12 * GIB
    )
    # 0.85 * 12 = 10.2 GiB: one shared, four runs of two; ten cells are three stacks.
    assert [len(stack) for stack in found.stacks] == [3, 4, 3]
    assert found.measured == {"one": 3 * GIB, "two": 5 * GIB, "free": 12 * GIB, "device": "cpu"}
    # Nothing to decide for one cell, nothing to measure on a CPU.
    assert stacks.compose(Unit("u", cells[:1]), None, FakeTask(), None).stacks == (cells[:1],)
    assert stacks.compose(unit, None, FakeTask(), None).stacks == (cells,)


def test_a_measured_training_ends_early():
    meter = stacks._Meter()
    meter.log(1, {"loss": 1.0})
    for _ in range(stacks.REPORTS - 1):
        meter.progress(1, 100)
    with pytest.raises(stacks._Enough):
        meter.progress(1, 100)
    with pytest.raises(stacks._Enough):
        stacks._Meter().checkpoint(1, lambda x: x)


@pytest.mark.gpu
def test_memory_is_measured_on_the_device():
    from gzsl_bench import Run, Task

    device = torch.device("cuda")

    class Holder(BatchedMethod):
        def fit_batch(self, task, runs):
            held = [torch.empty(64 << 20, dtype=torch.uint8, device=device) for _ in runs]
            for run in runs:
                run.checkpoint(1, lambda x: held)

    ids = torch.arange(2, device=device)
    task = Task(ids[:, None].float(), ids, ids[:, None].float(), ids[:1], ids[1:])

    def run(sink):
        return Run(0, device, Config(), sink)

    found = [stacks.measure(lambda: Holder(Config()), task, run, count) for count in (1, 2)]
    assert found == pytest.approx([64 << 20, 128 << 20], rel=0.05)
