"""The Ray executor on a cluster of simulated nodes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gzsl_bench.engine.events import CellEnded, UnitEnded, UnitStarted, WorkerSettings
from gzsl_bench.engine.units import plan
from gzsl_bench.errors import WorkerError
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.local import local_executor
from gzsl_bench.executors.resources import Resources
from gzsl_bench.executors.run import run_units
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.datasets import Place
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.resolve import resolve

# Ray would read this machine's outer address into 127.0.0.1; it looks when it is imported.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
ray = pytest.importorskip("ray", reason="Ray is not installed")

pytestmark = pytest.mark.ray

#: Set in the driver and not on the nodes.
DRIVER = "GZSL_BENCH_TEST_DRIVER"

PLUGIN = """
    import importlib, os, sys, time
    import numpy as np
    import torch
    from gzsl_bench import Config, DatasetSpec, GZSLData, Method, MethodSpec, Scorer, hookimpl

    def load(request):
        if "GZSL_BENCH_TEST_DRIVER" not in os.environ:
            raise RuntimeError("this machine has no data")
        rng = np.random.default_rng(5)
        labels = np.repeat(np.arange(8), 100)
        attributes = rng.normal(size=(8, 6))
        features = attributes[labels] @ rng.normal(size=(6, 500)) + rng.normal(size=(800, 500))
        inside = np.arange(800) % 100
        return GZSLData(
            name="far", features=features.astype(np.float32), labels=labels, attributes=attributes,
            trainval=np.flatnonzero((labels < 6) & (inside >= 20)),
            test_seen=np.flatnonzero((labels < 6) & (inside < 20)),
            test_unseen=np.flatnonzero(labels >= 6),
            feature_set=request.features, attribute_set=request.attributes,
        )

    class Settings(Config):
        sleep: float = 0.0
        trouble: str = "none"

    def mapped(tensor):
        for line in open("/proc/self/maps"):
            low, high = (int(end, 16) for end in line.split(" ", 1)[0].split("-"))
            if low <= tensor.data_ptr() < high:
                return line.split()

    class Far(Method):
        Config = Settings

        def fit(self, task, run):
            c = self.config
            print("seed", run.seed, flush=True)
            if c.trouble == "look":
                blocked = "no"
                try:
                    importlib.import_module("mlflow")  # no import that its digest would follow
                except ImportError:
                    blocked = "yes"
                _, rights, _, _, _, *file = mapped(task.features)
                print("LOOK", os.environ.get("GZSL_BENCH_DATA"), blocked, rights, file, flush=True)
            if c.trouble == "exit" and run.seed == 1:
                print("last words", flush=True)
                os._exit(3)
            if c.trouble == "write" and run.seed == 1:
                time.sleep(1)
                task.features.mul_(0)
            while c.trouble == "hang" and run.seed == 1:
                pass
            x, y = task.features.double(), task.attributes[task.labels].double()
            weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
            for step in (1, 2, 3):
                time.sleep(c.sleep * float(os.environ.get("GZSL_BENCH_TEST_PACE", "0")))
                noise = 0.01 * torch.randn(weights.shape, generator=run.generator(f"noise {step}"))
                w = weights + noise.double()
                run.log(step, loss=1.0 / step)
                run.checkpoint(step, Scorer(lambda v, w=w: v.double() @ w,
                                            lambda e: e @ task.attributes.double().T))
                run.progress(step, 3)

    @hookimpl
    def gzsl_bench_datasets():
        yield DatasetSpec("far", load, features="made", attributes="up")

    @hookimpl
    def gzsl_bench_methods():
        yield MethodSpec("far_ridge", Far, citation="tests", fidelity="approximation")
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of one core, on which there is neither a data folder nor MLflow; adds others."""
    from ray.cluster_utils import Cluster

    blocked = tmp_path_factory.mktemp("blocked") / "mlflow"
    blocked.mkdir()
    (blocked / "__init__.py").write_text("raise ImportError('no MLflow on the nodes')")
    before = dict(os.environ)
    os.environ.pop("GZSL_BENCH_DATA", None)
    path = [str(blocked.parent), os.environ.get("PYTHONPATH", "")]
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "OMP_NUM_THREADS": "1",
        "GZSL_BENCH_TEST_PACE": "1",  # only nodes need to take their time
    }
    one = {
        "num_cpus": 1,
        "object_store_memory": 100 << 20,
        "node_ip_address": "127.0.0.1",
        "include_dashboard": False,
    }
    made = Cluster(initialize_head=True, head_node_args=one)
    try:
        made.add_node(**one)
        os.environ.clear()
        os.environ.update(before | {DRIVER: "1"})
        with _no_longer_than(120):
            ray.init(made.address, log_to_driver=False, logging_level="ERROR")
        yield made, lambda **more: made.add_node(**one, **more)
    finally:
        ray.shutdown()
        made.shutdown()
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _no_longer_than(seconds):
    def give_up(number, frame):
        raise TimeoutError(f"not within {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Bench:
    """A suite of the plugin file, resolved on the driver."""

    def __init__(self, folder: Path, plugin: Path) -> None:
        self.folder, self.plugin = folder, plugin
        self.suite = folder / "suite.yaml"

    def cells(self, config: str, seeds: str, more: str = ""):
        self.suite.write_text(
            f"name: far\ndatasets: [far]\nmethods: [{{use: far_ridge, config: {config}}}]\n"
            f"seeds: {seeds}\n{more}"
        )
        self.registry = load_plugins(files=[self.plugin])
        loaded = load_suite(self.suite)
        check_names(loaded, self.registry, ())
        return resolve(loaded, self.registry, Place(None, None)).cells

    def run(self, cells, executor, out: str, hear=lambda event: None):
        store = RecordStore(self.folder / out)
        settings = WorkerSettings(
            store.layout.out, None, None, "cpu", 1, command="c", plugins=(self.plugin,)
        )
        events = []

        def listen(event):
            events.append(event)
            hear(event)

        units = plan(cells, self.registry, 1)
        return run_units(store, cells, units, executor, settings, listen), store, events

    def ray(self, **options):
        from gzsl_bench.executors.ray.crew import ray_executor

        return ray_executor(self.registry, options.pop("resources", Resources()), **options)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    return tmp_path_factory.mktemp("plugins") / "far.py"


@pytest.fixture
def bench(tmp_path, plugin, monkeypatch):
    monkeypatch.setenv(DRIVER, "1")
    plugin.write_text(textwrap.dedent(PLUGIN), encoding="utf-8")
    return Bench(tmp_path, plugin)


def content(store, key):
    """A record, without what differs from machine to machine and from time to time."""
    record = store.read(key)
    found = json.loads((record.path / "record.json").read_text())
    for name in ("started", "seconds", "hardware", "peak_memory"):
        assert found["provenance"].pop(name)
    log, arrays = record.path / "log.txt", record.path / "predictions.npz"
    return found, log.read_bytes(), arrays.read_bytes()


def test_nodes_need_neither_data_nor_mlflow_and_share_memory(cluster, bench, monkeypatch):
    from gzsl_bench.executors.ray import crew as ray_crew

    shelves = []

    class Watched(ray_crew.TaskStore):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            shelves.append(self)

    monkeypatch.setattr(ray_crew, "TaskStore", Watched)
    cells = bench.cells("{trouble: look}", "3", "selection: [last, val]\nfolds: 1\n")
    outcome, store, events = bench.run(cells, bench.ray(jobs=1), "out")
    assert outcome.exit_code == 0
    assert [e.key for e in events if isinstance(e, CellEnded)] == [c.key for c in cells]
    assert shelves[0].puts == 2  # the real task and the fold, for four cells
    for cell in cells:
        log = (store.read(cell.key).path / "log.txt").read_text()
        # Of a private mapping of memory that is sealed, and so the same for all of the node.
        assert "LOOK None yes rw-p ['/memfd:gzsl-bench-task'" in log
        assert log.startswith(f"seed {cell.seed}\n")


def test_what_kills_its_workers_fails_alone(cluster, bench):
    cells = bench.cells("{trouble: exit}", "[0, 1]") + bench.cells("{trouble: hang}", "[1, 2]")
    began = time.monotonic()
    executor = bench.ray(jobs=2, limits=Limits(timeout=15.0))
    outcome, store, events = bench.run(cells, executor, "out")
    assert time.monotonic() - began > 15
    assert (outcome.done, len(outcome.failed), outcome.interrupted) == (2, 2, False), [
        record.cause for record in outcome.failed
    ]
    died, hung = (store.read(cells[i].key) for i in (1, 2))
    assert died.cause == (
        "the worker process on node 127.0.0.1 ended with exit code 3 while it trained this unit"
    )
    assert "last words" in (died.path / "log.txt").read_text()
    tries = [e for e in events if isinstance(e, UnitStarted)]
    assert len(tries) == 4
    assert hung.cause.startswith("stopped after ")
    assert hung.cause.endswith(": --timeout gives a cell 15 s")
    assert "in fit" in hung.traceback + (hung.path / "log.txt").read_text()


def test_writing_to_the_task_harms_nobody_else(cluster, bench):
    cells = bench.cells("{trouble: write, sleep: 0.5}", "3")
    outcome, store, _ = bench.run(cells, bench.ray(jobs=1), "out")
    assert (outcome.done, len(outcome.failed)) == (2, 1)
    cause = store.read(cells[1].key).cause
    assert cause.endswith("changed task.features; copy it first")
    bench.run(cells[2:], local_executor(1), "alone")
    assert content(store, cells[2].key) == content(
        RecordStore(bench.folder / "alone"), cells[2].key
    )


def test_refusals(cluster, bench, monkeypatch):
    from gzsl_bench.executors.ray import crew as ray_crew

    cells = bench.cells("{}", "1")
    with pytest.raises(WorkerError, match=r"no node .* holds a worker with cpu=1, gpu=0\.5: nodes"):
        bench.run(cells, bench.ray(resources=Resources(gpu=0.5)), "out")
    monkeypatch.setattr(ray_crew, "__version__", "99")
    with pytest.raises(WorkerError, match="has gzsl-bench .*, this is 99; install the same"):
        bench.run(cells, bench.ray(jobs=1), "out")
    assert not (bench.folder / "out" / "cells").exists()


def test_a_plugin_that_changed_is_refused_on_the_node(cluster, bench):
    cells = bench.cells("{}", "1")
    executor = bench.ray(jobs=1)
    bench.plugin.write_text(bench.plugin.read_text() + "\n# edited\n")
    outcome, store, _ = bench.run(cells, executor, "out")
    assert len(outcome.failed) == 1
    assert "is not the one of the cell's key" in store.read(cells[0].key).cause


def test_ctrl_c_finishes_the_step_and_resumes(cluster, bench):
    made, _ = cluster
    bench.cells("{sleep: 1.0}", "3")
    command = [
        sys.executable, "-m", "gzsl_bench", "run", str(bench.suite), "--out", "out",
        "--plugin", str(bench.plugin), "--tracking-uri", "none", "--device", "cpu",
        "--executor", "ray", "--ray-address", made.address, "--jobs", "1",
    ]  # fmt: skip
    options = {"cwd": bench.folder, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **options, start_new_session=True)
    try:
        committed = bench.folder / "out" / "cells"
        deadline = time.monotonic() + 200
        while not committed.is_dir() or not list(committed.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        told = process.communicate(timeout=100)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, told
    assert "stopping after the running step" in told
    store = RecordStore(bench.folder / "out")
    first = list(store)
    assert 1 <= len(first) < 3
    assert all(record.complete for record in first)
    again = subprocess.run(command, **options, timeout=250)
    assert again.returncode == 0, again.stderr
    assert sum(record.complete for record in store) == 3
    assert "Traceback" not in again.stderr + told


def test_a_node_goes_in_mid_suite_and_nothing_differs(cluster, bench):
    made, add_node = cluster
    # A third node, on which no unit ever ends: whatever is on it when it goes is lost.
    node = add_node(env_vars={"GZSL_BENCH_TEST_PACE": "1e6"})
    cells = bench.cells("{sleep: 0.4}", "9", "selection: [last, val]\nfolds: 3\n")
    assert len(cells) == 12
    seen, gone = [], []

    def cut(event):
        # Once all three workers are on a unit.
        seen.append(event)
        running = sum(isinstance(e, UnitStarted) - isinstance(e, UnitEnded) for e in seen)
        if running == 3 and not gone:
            gone.append(node)
            made.remove_node(node, allow_graceful=False)

    outcome, store, events = bench.run(cells, bench.ray(), "far", cut)
    assert outcome.exit_code == 0, [r.cause for r in outcome.failed]
    assert gone
    noted = [json.loads(line) for line in store.layout.journal.read_text().splitlines()]
    assert [n["cause"] for n in noted if n["event"] == "machine lost"]
    started = [e.unit for e in events if isinstance(e, UnitStarted)]
    assert len(started) > len(set(started)) == 12  # somebody trained it again
    alone, here, _ = bench.run(cells, local_executor(1), "near")
    assert alone.exit_code == 0
    for cell in cells:
        assert content(store, cell.key) == content(here, cell.key)


def test_without_ray_one_line_says_how_to_get_it(bench, tmp_path):
    bench.cells("{}", "1")
    blocked = tmp_path / "blocked" / "ray"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('no Ray')")
    path = os.pathsep.join([str(blocked.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            sys.executable, "-m", "gzsl_bench", "run", str(bench.suite), "--out", "out",
            "--plugin", str(bench.plugin), "--executor", "ray", "--tracking-uri", "none",
        ],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "gzsl-bench: --executor ray needs Ray, which is not installed:"
        " pip install 'gzsl-bench[ray]'\n"
    )
    assert not (tmp_path / "out").exists()
