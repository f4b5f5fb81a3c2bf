"""A training in a process that has seen nothing: it imports the plugin by itself.

Request and answer are JSON files and scores an .npy file: nothing is pickled.  The process is a
fork of a new Python that has imported torch and this program and nothing else, as the benchmark's
are; that one is started once, for all methods that are checked.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.errors import in_one_line
from gzsl_bench.hooks.inline import inline_place
from gzsl_bench.testing.report import Broken
from gzsl_bench.testing.trials import Trials, scratch

if TYPE_CHECKING:
    from gzsl_bench.hooks.method import Method

#: Seconds that starting Python and importing torch and the plugin may take besides the training.
PATIENCE = 120.0


@dataclass(frozen=True, eq=False)
class Fresh:
    """What a fresh process told.

    Attributes:
        scores: [N, C] of the last checkpoint, rows in the order of the data set.
        megabytes: how much its peak memory grew while it trained.
    """

    scores: np.ndarray
    megabytes: float


def train_afresh(t: Trials, shape: str, seed: int) -> Fresh:
    """Train one run in a new process.

    Raises:
        Broken: the plugin cannot be found there, or the training fails.
    """
    owner = t.spec.factory
    if t.installed is None:
        _check_importable(owner)
    with scratch() as folder:
        request = {
            "installed": t.installed,
            "plugin_file": str(place) if (place := inline_place(owner.__module__)) else None,
            "module": owner.__module__,
            "qualname": owner.__qualname__,
            "file": getattr(sys.modules.get(owner.__module__), "__file__", None),
            "preprocessing": t.spec.preprocessing,
            "setting": t.spec.setting,
            "needs": t.spec.needs,
            "wants": t.spec.wants,
            "config": t.config.model_dump(mode="json"),
            "shape": shape,
            "seed": seed,
            "device": t.device,
            "seconds": t.budget.seconds,
            "path": [str(Path(entry).resolve()) for entry in sys.path],
        }
        Path(folder, "request.json").write_text(json.dumps(request), encoding="utf-8")
        seconds = t.budget.seconds + PATIENCE
        status = _nursery().serve(folder, seconds)
        if status is None:
            raise Broken(f"a fresh process is not done after {seconds:.0f} s")
        answer = Path(folder, "answer.json")
        if not answer.is_file():
            printed = Path(folder, "stderr.txt").read_text(encoding="utf-8", errors="replace")
            last = (printed.strip().splitlines() or ["no message"])[-1]
            raise Broken(
                f"a fresh process dies of it (exit code {status}: {last}); nothing may"
                " depend on what only this process has set up"
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
        if found["failure"] is not None:
            raise Broken(
                f"in a fresh process it fails: {found['failure']}; nothing may depend on what only"
                " this process has set up (its __main__ module, its import path, its variables)"
            )
        scores = np.load(Path(folder, "scores.npy"), allow_pickle=False)
        return Fresh(scores, found["megabytes"])


class Nursery:
    """A process that forks another one for every request, and has done nothing besides."""

    def __init__(self) -> None:
        code = (
            f"import sys; sys.path[:] = {[str(Path(entry).resolve()) for entry in sys.path]!r};"
            " from gzsl_bench.testing.fresh import nurse; nurse()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def alive(self) -> bool:
        """Whether it takes requests."""
        return self._process.poll() is None

    def serve(self, folder: str, seconds: float) -> int | None:
        """Exit code of the process for the request in ``folder``; None if it takes longer."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(folder + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return process.wait()
        if select.select([process.stdout], [], [], seconds)[0]:
            line = process.stdout.readline()
            return int(line) if line else process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


_started: list[Nursery] = []


def _nursery() -> Nursery:
    """The one of this process."""
    if not _started or not _started[-1].alive():
        _started[:] = [Nursery()]
    return _started[-1]


def _check_importable(owner: type) -> None:
    if owner.__module__ == "__main__" or "<locals>" in owner.__qualname__:
        where = "in __main__" if owner.__module__ == "__main__" else "inside a function"
        raise Broken(
            f"{owner.__qualname__} is defined {where}, where no other process can import it from;"
            " define it at the top of a module"
        )


# In the new process ------------------------------------------------------------------------------


def nurse() -> None:
    """Fork a process for every folder that is named on standard input, until its end."""
    import torch  # noqa: F401

    import gzsl_bench.engine.environment
    import gzsl_bench.hooks.manager
    import gzsl_bench.testing.trials  # noqa: F401

    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                printed = os.open(folder / "stderr.txt", os.O_WRONLY | os.O_CREAT, 0o600)
                os.dup2(printed, 1)
                os.dup2(printed, 2)
                main(folder)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def main(folder: Path) -> None:
    """Serve the request in ``folder``."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    sys.path[:] = request["path"]
    try:
        found = _serve(request, folder)
    except (Exception, SystemExit) as error:
        found = {"failure": in_one_line(error), "megabytes": 0.0}
    (folder / "answer.json").write_text(json.dumps(found), encoding="utf-8")


def _serve(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    import torch

    from gzsl_bench.engine.environment import peak_memory
    from gzsl_bench.hooks.method import MethodSpec
    from gzsl_bench.testing.trials import Budget

    device = torch.device(request["device"])
    spec = MethodSpec(
        "fresh",
        _find(request),
        "",
        "paper",
        preprocessing=request["preprocessing"],
        setting=request["setting"],
        needs=tuple(request["needs"]),
        wants=tuple(request["wants"]),
    )
    t = Trials(spec, request["config"], request["device"], Budget(request["seconds"]))
    t.setup(request["shape"])  # all of that is imported and allocated before it counts
    before = peak_memory(device)
    trial = t.on(request["shape"], request["seed"])
    grown = (peak_memory(device) - before) / 2**20
    if trial.trace.scores is not None and trial.sound:
        scores = trial.trace.scores.double().cpu().numpy()
        np.save(folder / "scores.npy", scores, allow_pickle=False)
    return {"failure": None if trial.sound else trial.why, "megabytes": grown}


def _find(request: dict[str, Any]) -> type[Method]:
    """The method's class, as a worker would find it."""
    if request["installed"] is not None:
        from gzsl_bench.hooks.manager import load_plugins

        files = [Path(request["plugin_file"])] if request["plugin_file"] else []
        return load_plugins(strict=False, files=files).methods[request["installed"]].factory
    name, file = request["module"], request["file"]
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module of a test, say, that was loaded from its file.
        if file is None or error.name not in (name, name.partition(".")[0]):
            raise
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in request["qualname"].split("."):
        found = getattr(found, part)
    owner: type[Method] = found
    return owner
