"""Fixtures shared by the tests of the harness: a tiny data set, hand-built registries, a runner."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from gzsl_bench import DatasetSpec, GZSLData, MethodSpec
from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.engine.events import Event, WorkerSettings
from gzsl_bench.engine.units import plan
from gzsl_bench.executors.inline import inline_executor
from gzsl_bench.executors.run import Outcome, run_units
from gzsl_bench.hooks.manager import PluginInfo, Registry
from gzsl_bench.hooks.source import Source
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.datasets import Place
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.resolve import resolve
from gzsl_bench.suite.resolved import ResolvedSuite

# The benchmarks are no installed package.  Last, so that all else comes from where it is installed.
sys.path.append(str(Path(__file__).parents[1]))

# Under --import-mode=importlib sibling modules are not importable by themselves.
for _name, _file in (
    ("records_factory", "records/factory.py"),
    ("report_factory", "report/factory.py"),
    ("warm", "warm.py"),
):
    _spec = importlib.util.spec_from_file_location(_name, Path(__file__).parent / _file)
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_spec.name])


# On a busy machine drawing an example may take a while: nothing is wrong with the test then.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Programs that tests start hear Ctrl-C, have no terminal's width, and start fast."""
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # A job in the background ignores Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Collecting makes a million objects that stay: looking through them over and over takes a third
    # of its time.
    gc.disable()
    _collect_after_the_first(config)
    warm = sys.modules["warm"]
    if sys.platform.startswith("linux") and not os.environ.get("GZSL_BENCH_TEST_COLD"):
        warm.install()


def _collect_after_the_first(config: pytest.Config) -> None:
    """The first of several test processes collects alone: the others find its compiled files.

    Where nothing is compiled yet, collecting takes four times as long; side by side, each process
    would compile all that the others are about to.
    """
    me = getattr(config, "workerinput", {}).get("workerid", "gw0")
    if me == "gw0" or sys.dont_write_bytecode:
        return
    if me == "gw1":  # it begins with what the first one comes to last
        for name in ("matplotlib", "mlflow.tracking", "sklearn"):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    # Should the first one fail, waiting is no use, and no harm.
    deadline = time.monotonic() + 120
    while not _collected(config).exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _collected(config: pytest.Config) -> Path:
    """There as soon as the first test process of this run has collected."""
    run = getattr(config, "workerinput", {}).get("testrunuid", "")
    return Path(tempfile.gettempdir()) / f"gzsl-bench-collected-{run}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """What collecting has left is never looked through again."""
    gc.freeze()
    gc.enable()
    if getattr(session.config, "workerinput", {}).get("workerid") == "gw0":
        _collected(session.config).touch()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process that programs were forked of."""
    if getattr(config, "workerinput", {}).get("workerid") == "gw0":
        _collected(config).unlink(missing_ok=True)
    source = sys.modules["warm"].Popen.source
    if source is not None:
        source.close()


#: Marks of tests that start programs.
LONG = ("slow", "ray", "browser", "postgres")
#: Long files that wait more than they compute, for time limits and for Ray: never two at a time.
FIRST, LAST = "test_policy.py", "test_ray.py"
#: Files of a plugin's every method come next: they are longer than all that follow.
NEXT = "test_conformance.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first, and tests of a GPU are counted as skipped where there is none."""
    # Processes that share the files would otherwise wait at the end for whoever began the longest.
    long = {item.path for item in items if any(map(item.get_closest_marker, LONG))}
    items.sort(
        key=lambda item: (
            item.path not in long,
            item.path.name != FIRST,
            item.path.name == LAST,
            item.path.name != NEXT,
        )
    )
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _tiny(seed: int = 0, classes: int = 7, rows: int = 12, dim: int = 5) -> GZSLData:
    """Seven classes in scattered order, two of them unseen; class c has ``rows + c`` images."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), rows + np.arange(classes)))
    attributes = rng.normal(size=(classes, 4))
    mix = rng.normal(size=(4, dim))
    features = attributes[labels] @ mix + 0.4 * rng.normal(size=(labels.size, dim))
    unseen = np.array([1, 4])
    trainval, test_seen = [], []
    for c in np.setdiff1d(np.arange(classes), unseen):
        mine = np.flatnonzero(labels == c)
        test_seen.append(mine[: 3 + c])
        trainval.append(mine[3 + c :])
    return GZSLData(
        name="tiny",
        features=features.astype(np.float32),
        labels=labels.astype(np.int64),
        attributes=attributes,
        trainval=rng.permutation(np.concatenate(trainval)),
        test_seen=np.concatenate(test_seen),
        test_unseen=np.flatnonzero(np.isin(labels, unseen)),
        feature_set="raw",
        attribute_set="made",
    )


@pytest.fixture(scope="session")
def make_data() -> Callable[..., GZSLData]:
    """Makes the tiny data set; another seed gives other features, labels and embeddings."""
    return _tiny


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], Path]]:
    """Makes file systems with room for so many kilobytes; skips where that is not allowed."""
    made: list[Path] = []

    def make(kilobytes: int) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="gzsl-bench-small-"))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            folder.rmdir()
            pytest.skip("mounting a small disk is not allowed here")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's chromium; skips where it or playwright is absent."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as player:
        found = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def listen() -> Callable[[Any], tuple[list[str], list[str]]]:
    """Starts to note whatever goes wrong in a page, and every address that it asks for."""

    def start(page: Any) -> tuple[list[str], list[str]]:
        troubles: list[str] = []
        asked: list[str] = []

        def hear(message: Any) -> None:
            if message.type != "warning":
                troubles.append(f"{message.type}: {message.text} {message.location.get('url')}")

        page.on("console", hear)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("requestfailed", lambda request: troubles.append(request.url[:200]))
        page.on("request", lambda request: asked.append(request.url))
        return troubles, asked

    return start


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty MLflow store: migrating takes a second, copying does not."""
    from gzsl_bench.tracking.client import connect, writing

    layout = Layout(tmp_path_factory.mktemp("empty-mlflow"))
    with writing(layout.tracking_store, layout):
        connect(layout.tracking_store, layout)
    return layout.out / "mlflow.db"


@pytest.fixture
def tiny() -> GZSLData:
    return _tiny()


@pytest.fixture
def make_registry() -> Callable[..., Registry]:
    """Builds a registry by hand: method specs, data (name -> object), version and source."""

    def build(
        *methods: MethodSpec,
        data: Mapping[str, GZSLData] | None = None,
        version: str = "1.0",
        source: str | None = None,
    ) -> Registry:
        info = PluginInfo("inline", "tests", version)
        found = Registry(plugins=[info])
        for name, content in (data or {"tiny": _tiny()}).items():
            found.datasets[name] = DatasetSpec(
                name,
                lambda request, content=content: replace(
                    content, feature_set=request.features, attribute_set=request.attributes
                ),
                features="raw",
                attributes="made",
            )
            found.owners["datasets", name] = info
        for spec in methods:
            found.methods[spec.name] = spec
            found.owners["methods", spec.name] = info
            if source is not None:
                found.sources[spec.name] = Source(source, toolkit=False)
        for metric in gzsl_bench_metrics():
            found.metrics[metric.name] = metric
            found.owners["metrics", metric.name] = info
        return found

    return build


@pytest.fixture
def resolve_text(tmp_path: Path) -> Callable[..., ResolvedSuite]:
    """Writes a suite file, checks and resolves it."""

    def go(text: str, registry: Registry, **options: Any) -> ResolvedSuite:
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        loaded = load_suite(path)
        check_names(loaded, registry, ())
        return resolve(loaded, registry, Place(None, None), **options)

    return go


@pytest.fixture
def run_inline(
    tmp_path: Path,
) -> Callable[..., tuple[Outcome, RecordStore, list[Event]]]:
    """Trains cells in this process: (cells, registry) -> outcome, store, events."""

    def go(
        cells: tuple[Cell, ...], registry: Registry, stack: int = 1, out: Path | None = None
    ) -> tuple[Outcome, RecordStore, list[Event]]:
        store = RecordStore(out or tmp_path / "out")
        settings = WorkerSettings(store.layout.out, None, None, "cpu", 1)
        events: list[Event] = []
        units = plan(cells, registry, stack)
        outcome = run_units(store, cells, units, inline_executor(registry), settings, events.append)
        return outcome, store, events

    return go
