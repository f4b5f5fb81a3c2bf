"""A plugin of misbehaving methods that child processes see too, and a runner for the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = """
    import os, signal, time
    import torch
    from gzsl_bench import Config, Method, MethodSpec, Scorer, hookimpl

    class Settings(Config):
        steps: int = 3
        sleep: float = 0.0
        crash: str = "no"

    class Slow(Method):
        Config = Settings

        def fit(self, task, run):
            c = self.config
            x, y = task.features.double(), task.attributes[task.labels].double()
            weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
            print("training seed", run.seed, flush=True)
            for step in range(1, c.steps + 1):
                time.sleep(c.sleep)
                noise = torch.randn(weights.shape, generator=run.generator(f"noise {step}"))
                w = weights + 0.01 * noise.double()
                run.log(step, loss=1.0 / step)
                run.checkpoint(step, Scorer(lambda v, w=w: v.double() @ w,
                                            lambda e: e @ task.attributes.double().T))
                run.progress(step, c.steps)
            if c.crash == "exit":
                os._exit(3)
            if c.crash == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if c.crash == "raise":
                raise ValueError("this method is made to fail")
            if c.crash == "nan":
                run.checkpoint(c.steps + 1, lambda v: torch.full((len(v), 10), torch.nan))

    @hookimpl
    def gzsl_bench_methods():
        yield MethodSpec("slow", Slow, citation="tests", fidelity="approximation")
"""


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the plugin is installed and nothing is inherited by accident."""
    site = tmp_path_factory.mktemp("site")
    (site / "gz_faulty.py").write_text(textwrap.dedent(PLUGIN), encoding="utf-8")
    info = site / "gz_faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gz-faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\nfaulty = gz_faulty\n")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GZSL_BENCH_DATA", "GZSL_BENCH_STRICT_PLUGINS", "MLFLOW_TRACKING_URI")
    }
    path = os.pathsep.join(filter(None, [str(site), kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path}


class Bench:
    """Runs ``gzsl-bench`` on one suite in a process group of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], suite: str, *options: str,
                 command: str = "run"):  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.environment, self.options = folder, environment, options
        self.command = command
        self.out = folder / "out"
        self.suite = folder / "suite.yaml"
        self.suite.write_text(suite, encoding="utf-8")

    #: Seconds a run may take.
    limit = 120.0

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._program(self.command), "--device", "cpu", *self.options],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        process = self.start()
        stdout, stderr = process.communicate(timeout=self.limit)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def call(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._program(command), *options],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def _program(self, command: str) -> list[str]:
        code = "from gzsl_bench.cli.main import main; main()"
        return [sys.executable, "-c", code, command, str(self.suite), "--out", str(self.out)]

    def finished(self) -> dict[str, dict[str, tuple[bytes, int]]]:
        """Bytes and times of the files of every complete record."""
        found = {}
        for folder in sorted((self.out / "cells").glob("*")):
            record = folder / "record.json"
            if record.is_file() and '"status": "complete"' in record.read_text():
                found[folder.name] = {
                    p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()
                }
        return found

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)


@pytest.fixture
def bench(tmp_path: Path, faulty: dict[str, str]):
    """Makes benches; kills what they left running."""
    made: list[subprocess.Popen[str]] = []

    class Watched(Bench):
        def start(self) -> subprocess.Popen[str]:
            process = super().start()
            made.append(process)
            return process

    yield lambda suite, *options, name="one", **more: Watched(
        tmp_path / name, faulty, suite, *options, **more
    )
    for process in made:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture
def group_members() -> Callable[[int], list[int]]:
    """Living processes of a session, workers' groups included, zombies aside."""

    def look(group: int) -> list[int]:
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().rpartition(")")
            except OSError:
                continue
            state, _, _, session = rest.split()[:4]
            if int(session) == group and state not in "ZX":
                found.append(int(name.split(" ", 1)[0]))
        return found

    return look
