"""The process of a unit: forked, settled, alone; and the server that forks it."""

from __future__ import annotations

import multiprocessing
import os
import random
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch

from gzsl_bench import Method, MethodSpec
from gzsl_bench.engine.events import CellEnded, WorkerSettings
from gzsl_bench.engine.units import plan
from gzsl_bench.executors import serving
from gzsl_bench.executors.inline import inline_executor
from gzsl_bench.executors.local import local_executor
from gzsl_bench.executors.run import run_units
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.records.store import RecordStore

PLUGIN = '''
import os, random
import numpy as np
import torch
from gzsl_bench import Config, Method, MethodSpec, hookimpl
{at_import}

class Settings(Config):
    number: int = 0

class Draws(Method):
    """Draws where no method should, in the precision that the process has."""
    Config = Settings

    def fit(self, task, run):
        run.log(1, parent=os.getppid(), pid=os.getpid(), threads=torch.get_num_threads())
        found = torch.rand(task.num_classes)
        found = found + random.random() + np.random.rand()
        return lambda x: (x[:, :1] + found) * torch.ones(task.num_classes)

@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("draws", Draws, citation="tests", fidelity="approximation")
'''
SPOILS = """
import threading, time, warnings
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.set_num_threads(3)
random.seed(random.SystemRandom().random())
"""
#: What cannot be forked: a thread.
THREAD = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=(999,), daemon=True).start()"
)


@pytest.fixture
def trained(resolve_text, tmp_path):
    """Trains cells of the plugin: (what it does at import, executor, numbers) -> their records."""

    def go(at_import, executor, name, numbers=(0, 1, 2), listen=lambda event: None):
        plugin = tmp_path / f"{name.partition('_')[0]}.py"
        plugin.write_text(textwrap.dedent(PLUGIN).replace("{at_import}", at_import))
        registry = load_plugins(files=[plugin])
        entries = "".join(
            f"  - {{use: draws, label: d{n}, config: {{number: {n}}}}}\n" for n in numbers
        )
        cells = resolve_text(f"name: s\ndatasets: [digits]\nmethods:\n{entries}", registry).cells
        store = RecordStore(tmp_path / name)
        settings = WorkerSettings(store.layout.out, None, None, "cpu", 1, plugins=(plugin,))
        executor = executor or inline_executor(registry)
        run_units(store, cells, plan(cells, registry, 1), executor, settings, listen)
        return [store.read(cell.key) for cell in cells]

    return go


def curve(record, name):
    return record.curves[name][0][1]


@pytest.mark.slow
def test_numbers_depend_neither_on_imports_nor_on_what_was_done_before(trained):
    """A key fixes the numbers, though a plugin's import spoils the process and data draw."""
    local = trained(SPOILS, local_executor(1), "spoils_local")
    last = trained(SPOILS, local_executor(2), "spoils_last", (2,))
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    try:
        inline = trained(SPOILS, None, "spoils_inline")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    for one, other in [*zip(local, inline, strict=True), (local[2], last[0])]:
        assert one.complete, one.cause
        ours, theirs = one.predictions(), other.predictions()
        for array in ours:
            assert ours[array].tobytes() == theirs[array].tobytes(), array
        assert curve(one, "threads") == 1
    assert len({record.predictions()["best_seen"].tobytes() for record in local}) == 3
    # Each in a process of its own, all of the same server.
    assert len({curve(record, "pid") for record in local}) == 3
    assert len({curve(record, "parent") for record in local}) == 1


@pytest.mark.slow
def test_what_cannot_be_forked_is_imported_by_every_process(trained):
    found = trained(THREAD, local_executor(1), "thread")
    assert [record.cause for record in found] == [""] * 3
    assert len({curve(record, "pid") for record in found}) == 3


@pytest.mark.slow
def test_another_server_takes_the_place_of_one_that_was_killed(trained):
    """Between two units, by somebody: the rest is trained all the same."""
    out = []

    def listen(event):
        if isinstance(event, CellEnded) and not out:
            out.append(event.key)
            for process in multiprocessing.active_children():
                if process.name == "gzsl-bench server":
                    process.kill()

    found = trained("", local_executor(1), "killed", range(4), listen)
    assert [record.complete for record in found] == [True] * 4
    assert len({curve(record, "parent") for record in found}) > 1


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_that_dies_as_another_is_started_ends_no_server(code):
    """Multiprocessing waits for the dead one then, and the server asks for its end after that."""
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(code,))
    process.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    multiprocessing.active_children()
    assert serving._ended(process) == (code,)


def test_a_process_is_told_with_what_it_held():
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(3,))
    process.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    code, held = serving._ended(process)
    assert code == process.exitcode == 3
    assert held > 1 << 20


def test_random_numbers_are_seeded_after_the_data(make_registry, resolve_text, run_inline):
    """Loading draws from the global state; a cell that finds the data loaded does not load."""

    class Draws(Method):
        def fit(self, task, run):
            number = random.random() + np.random.rand() + torch.rand(()).item()
            return lambda x: (x[:, :1] + number) * torch.ones(7)

    spec = MethodSpec("draws", Draws, citation="tests", fidelity="approximation")
    registry = make_registry(spec)
    plain = registry.datasets["tiny"]

    def load(request):
        random.random(), np.random.rand(3), torch.rand(5)
        return plain.load(request)

    registry.datasets["tiny"] = replace(plain, load=load)
    cells = resolve_text("name: s\ndatasets: [tiny]\nmethods: [draws]\nseeds: 2\n", registry).cells
    _, first, _ = run_inline(cells, registry)
    _, second, _ = run_inline(cells[1:], registry, out=first.layout.out.parent / "second")
    ours, theirs = (store.read(cells[1].key).predictions() for store in (first, second))
    assert ours["best_seen"].tobytes() == theirs["best_seen"].tobytes()
