"""A training in a process that has seen nothing: started anew, it imports the plugin by itself.

Request and answer are JSON files and scores an .npy file: nothing is pickled.  The process is a new
Python, as the benchmark's workers are, with the same import path.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
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
            "config": t.config.model_dump(mode="json"),
            "shape": shape,
            "seed": seed,
            "device": t.device,
            "seconds": t.budget.seconds,
            "path": [str(Path(entry).resolve()) for entry in sys.path],
        }
        Path(folder, "request.json").write_text(json.dumps(request), encoding="utf-8")
        code = (
            "import json, sys; from pathlib import Path;"
            " sys.path[:] = json.loads(Path(sys.argv[1], 'request.json').read_text())['path'];"
            " from gzsl_bench.testing.fresh import main; main(Path(sys.argv[1]))"
        )
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, folder],
                capture_output=True,
                text=True,
                timeout=t.budget.seconds + PATIENCE,
            )
        except subprocess.TimeoutExpired as error:
            raise Broken(f"a fresh process is not done after {error.timeout:.0f} s") from error
        answer = Path(folder, "answer.json")
        if not answer.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Broken(
                f"a fresh process dies of it (exit code {done.returncode}: {last}); nothing may"
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


def _check_importable(owner: type) -> None:
    if owner.__module__ == "__main__" or "<locals>" in owner.__qualname__:
        where = "in __main__" if owner.__module__ == "__main__" else "inside a function"
        raise Broken(
            f"{owner.__qualname__} is defined {where}, where no other process can import it from;"
            " define it at the top of a module"
        )


# In the new process ------------------------------------------------------------------------------


def main(folder: Path) -> None:
    """Serve the request in ``folder``."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
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
