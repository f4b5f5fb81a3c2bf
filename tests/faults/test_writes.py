"""A method that writes to its task, however it does that, changes no other method's numbers."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import FrozenInstanceError
from multiprocessing import Pipe, reduction
from pathlib import Path

import numpy as np
import pytest
import torch

from gzsl_bench import MethodSpec
from gzsl_bench.data.tasks import TaskData
from gzsl_bench.engine import stacks
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.engine.fit import TaskChanged, fit_runs
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.engine.units import Unit, plan
from gzsl_bench.executors.inline import inline_executor
from gzsl_bench.executors.local import local_executor
from gzsl_bench.executors.run import run_units
from gzsl_bench.executors.shelf import Shelf
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.hooks.method import BatchedMethod, Method
from gzsl_bench.hooks.run import Run
from gzsl_bench.hooks.task import Task
from gzsl_bench.records.store import RecordStore

PLUGIN = Path(__file__).with_name("writers.py")
HEAD = "name: writes\ndatasets: [digits]\nmethods:\n"
#: In what a scorer was shown rather than in the task.
SHOWN = "the scorer changed the features it was shown; copy them first"


def neighbours(ways: list[str], among: list[str]) -> list[str]:
    penalties = {way: 1 + number for number, way in enumerate(among)}
    return [
        f"  - {{use: eszsl, label: beside {way}, config: {{feature_penalty: {penalties[way]}}}}}\n"
        for way in ways
    ]


def offenders(ways: list[str]) -> list[str]:
    return [
        f"  - {{use: {'last_' * (way == 'last')}writer, label: {way}, config: {{way: {way}}}}}\n"
        for way in ways
    ]


def trained(executor, text, registry, resolve_text, out) -> dict:
    """Label -> record, after all cells were trained in the suite's order."""
    cells = resolve_text(text, registry).cells
    store = RecordStore(out)
    settings = WorkerSettings(store.layout.out, None, None, "cpu", 1, plugins=(PLUGIN,))
    units = [Unit(cell.key, (cell,)) for cell in cells]
    run_units(store, cells, units, executor, settings, lambda event: None)
    return {cell.label: store.read(cell.key) for cell in cells}


@pytest.mark.slow
def test_no_way_to_write_reaches_a_neighbour(resolve_text, tmp_path):
    registry = load_plugins(files=[PLUGIN])
    writers = sys.modules[registry.methods["writer"].factory.__module__]
    among = [*writers.WAYS, "last"]
    assert len(among) >= 40
    text = HEAD + "".join(neighbours(among, among))
    inline = inline_executor(registry)
    alone = trained(inline, text, registry, resolve_text, tmp_path / "alone")
    for executor in (local_executor(1), inline):
        # What spoils a whole process has to be kept out of this one.
        ways = [way for way in among if executor is not inline or way not in writers.HARMFUL]
        pairs = zip(offenders(ways), neighbours(ways, among), strict=True)
        text = HEAD + "".join(line for pair in pairs for line in pair)
        out = tmp_path / f"beside {len(ways)}"
        found = trained(executor, text, registry, resolve_text, out)
        judge(ways, found, alone, writers)


def judge(ways: list[str], found: dict, alone: dict, writers) -> None:
    for way in ways:
        label = f"beside {way}"
        ours, wanted = found[label].predictions(), alone[label].predictions()
        assert ours.keys() == wanted.keys()
        for name, array in wanted.items():
            same = ours[name].tobytes() == array.tobytes()
            assert same, f"{way} changed {name} of its neighbour"
    complete = {way for way in ways if found[way].complete}
    # Whether a thread gets to write before the contents are compared is chance.
    assert complete - {"lasting_thread"} == writers.QUIET & set(ways) - {"lasting_thread"}
    said = {way: found[way].cause for way in set(ways) - writers.QUIET}
    assert said.pop("shown") == SHOWN
    odd = {w: c for w, c in said.items() if not re.fullmatch(r"the method .*; copy it first", c)}
    assert odd == {}


def small_task() -> Task:
    labels = torch.tensor([0, 1])
    return Task(torch.ones(2, 3), labels, torch.eye(3), labels.clone(), torch.tensor([2]))


@pytest.mark.parametrize("name", ["features", "labels", "attributes"])
def test_an_operation_in_place_is_named_though_the_assignment_is_refused_as_well(name):
    class InPlace(Method):
        def fit(self, task, run):
            setattr(task, name, getattr(task, name).sub_(1))  # what `task.features -= 1` does

    run = Run(0, torch.device("cpu"), InPlace.Config(), sink=None)
    with pytest.raises(TaskChanged, match=f"^the method changed task.{name}; copy it first$"):
        fit_runs(InPlace, small_task(), [run])


def test_an_assignment_that_changes_no_tensor_stays_what_it_is():
    class Assigns(Method):
        def fit(self, task, run):
            task.features = task.features - 1

    run = Run(0, torch.device("cpu"), Assigns.Config(), sink=None)
    with pytest.raises(FrozenInstanceError, match="features"):
        fit_runs(Assigns, small_task(), [run])


def test_a_stack_fails_together_and_the_next_one_has_a_task_of_its_own(
    make_registry, resolve_text, tmp_path
):
    rows = []

    class Together(BatchedMethod):
        def fit_batch(self, task, runs):
            rows.append(task.features.clone())
            if runs[0].seed == 0:
                task.features.numpy().fill(0)
            return [lambda x: x[:, :1] * torch.ones(7) for _ in runs]

    spec = MethodSpec("together", Together, citation="tests", fidelity="approximation")
    registry = make_registry(spec)
    text = "name: s\ndatasets: [tiny]\nmethods: [together]\nseeds: 4\n"
    cells = resolve_text(text, registry).cells
    (unit,) = plan(cells, registry, 4)
    store = RecordStore(tmp_path / "out")
    stacks.remember(store.layout, unit, stacks.Composition((cells[:2], cells[2:]), {}))
    settings = WorkerSettings(store.layout.out, None, None, "cpu", 1)
    run_units(store, cells, [unit], inline_executor(registry), settings, lambda event: None)
    records = [store.read(cell.key) for cell in cells]
    assert [record.status for record in records] == ["failed"] * 2 + ["complete"] * 2
    assert len(rows) == 2
    assert torch.equal(*rows)
    assert rows[0].abs().sum() > 0


@pytest.mark.parametrize("memfd", [True, False])
def test_sealed_memory_cannot_be_written(memfd, monkeypatch):
    if not memfd:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    data = TaskData(
        np.ones((3, 2), np.float32), np.arange(3), np.zeros((0, 4), np.float32), np.arange(2),
        np.arange(0), np.ones((0, 2), np.float32), np.arange(0),
    )  # fmt: skip
    sealed = Sealed.of(data, ["/a/file"])
    with pytest.raises(OSError, match="Operation not permitted|Bad file descriptor"):
        os.pwrite(sealed.descriptor, b"x", 0)
    sent = Sealed.received(os.dup(sealed.descriptor), sealed.describe())
    sealed.close()
    mine, others = sent.private(), sent.private()
    mine.train_features[:] = 7
    arrays = {name: array for name, array in vars(data).items() if array is not None}
    for name, array in arrays.items():
        for found in (others, sent.pristine()):
            assert getattr(found, name).dtype == array.dtype
            assert np.array_equal(getattr(found, name), array)
    with pytest.raises(ValueError, match="read-only"):
        sent.pristine().train_features[:] = 7
    assert sent.files == {"/a/file"}
    assert sent.size >= sum(array.nbytes for array in arrays.values())
    sent.close()
    assert (mine.train_features == 7).all()


def test_a_task_is_made_once_and_by_the_next_one_if_its_maker_dies():
    shelf, pipes = Shelf(), [Pipe() for _ in range(3)]
    (first, one), (second, two), (third, three) = pipes
    for asked in (one, two, three):
        shelf.ask("task", asked)
    assert first.recv_bytes() == b"make"
    assert not second.poll()
    shelf.leave(one)
    assert second.recv_bytes() == b"make"
    assert not third.poll()
    data = TaskData(*(np.arange(4) for _ in range(7)))
    made = Sealed.of(data)
    reduction.send_handle(second, made.descriptor, None)
    shelf.made(two, made.describe())
    described = third.recv_bytes()
    given = Sealed.received(reduction.recv_handle(third), described)
    assert np.array_equal(given.private().seen, np.arange(4))
    shelf.ask("task", one)
    assert first.recv_bytes() == described
    shelf.clear()
    shelf.ask("task", two)
    assert second.recv_bytes() == b"make"
