"""Plants changes in copies of the program and of its plugins, and tells what notices them.

Run by ``test_planted.py`` in a process of its own, which forks once for every change: libraries are
loaded once, the program anew from each copy.  A change is one text for another, wherever in the
program it stands, so that code may move.
"""

from __future__ import annotations

import compileall
import contextlib
import gc
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

GOLDEN = Path(__file__).parent
ROOT = GOLDEN.parents[1]
PROGRAM, CLASSIC = "gzsl_bench", "plugins/classic/gzsl_bench_classic"


class Plant(NamedTuple):
    """A change.

    Attributes:
        old: text that stands exactly once in the program (or plugin).
        new: what it becomes.
        case: the golden case that fails; "" where the keys change instead.
        retrains: the methods of the classic plugin whose keys change.
        where: the folder that holds it.
    """

    old: str
    new: str
    case: str = ""
    retrains: tuple[str, ...] = ()
    where: str = PROGRAM


PLANTS = {
    "initial weights": Plant(
        "weight.copy_((draw * 2 - 1).view(outputs, inputs) * bound)",
        "weight.copy_((draw * 2 - 1).view(outputs, inputs) * bound / 2)",
        "stacked-initial weights",
    ),
    "batch law": Plant(
        "rows[pending] = torch.randint(n, (pending.numel(), size), generator=stream)",
        "return rows",
        "stacked-batches",
    ),
    "batch law of large batches": Plant(
        ".argsort(dim=1)[:, :size]",
        ".argsort(dim=1, descending=True)[:, :size]",
        "stacked-batches",
    ),
    "noise stream": Plant(
        'samples(semantic, repeats, run.generator("latents/attributes"))',
        'samples(semantic, repeats, run.generator("latents/visual"))',
        "stacked-latents",
    ),
    "Adam's epsilon": Plant(
        """        eps: float = 1e-8,
        amsgrad: bool = False,""",
        """        eps: float = 2e-8,
        amsgrad: bool = False,""",
        "stacked-optimizer",
    ),
    "Adam's bias correction": Plant(
        "self._steps = [torch.zeros((), device=params[0].device) for _ in params]",
        "self._steps = [torch.ones((), device=params[0].device) for _ in params]",
        "stacked-optimizer",
    ),
    "classifier's epsilon": Plant(
        """        eps: float = 1e-8,
        batch: int = 32,""",
        """        eps: float = 2e-8,
        batch: int = 32,""",
        "stacked-classifier",
    ),
    "warm-up": Plant(
        "return (epoch - self.start) / (self.end - self.start)",
        "return (epoch + 1 - self.start) / (self.end - self.start)",
        "stacked-schedule",
    ),
    "divergence": Plant(
        "return -0.5 * _sum(1 + logvar", "return -1.0 * _sum(1 + logvar", "stacked-gaussians"
    ),
    "min-max": Plant(
        "spread[spread < _CONSTANT] = 1.0", "spread[spread < 1] = 1.0", "minmax-features"
    ),
    "z-score": Plant(
        "deviation = np.sqrt(squares / len(rows))",
        "deviation = np.sqrt(squares / (len(rows) - 1))",
        "zscore-features",
    ),
    "fold choice": Plant(
        "_HIDDEN, _HELD_OUT = 3, 5", "_HIDDEN, _HELD_OUT = 3, 4", "folds-choice of classes and rows"
    ),
    "class numbers of a fold": Plant(
        "numbers[classes] = np.arange(classes.size)",
        "numbers[classes] = np.arange(classes.size)[::-1]",
        "folds-tasks of folds",
    ),
    "random streams": Plant(
        'return int.from_bytes(digest[:8], "little") >> 1',
        'return int.from_bytes(digest[:8], "big") >> 1',
        "streams-seeds",
    ),
    "test order": Plant('"test order"', '"order of tests"', "predictions-order of test rows"),
    "equal scores": Plant(
        "best = scores.argmax(1)",
        "best = scores.shape[1] - 1 - scores.flip(1).argmax(1)",
        "predictions-equal scores",
    ),
    "precision": Plant(
        '"high" if precision == "tf32" else "highest"', '"high"', "float32-products in float32"
    ),
    "order of unlabelled rows": Plant(
        '"unlabelled order"', '"test order"', "task-what a method is handed"
    ),
    "class embeddings": Plant(
        "data.attributes.astype(np.float32)",
        "data.attributes.astype(np.float16).astype(np.float32)",
        "task-what a method is handed",
    ),
    "cache conversion": Plant(
        "rows[part] = raw[part]",
        "rows[part] = raw[part].astype(np.float16)",
        "conversion-features of mat files",
    ),
    "built-in digits": Plant("TEST_EVERY = 5", "TEST_EVERY = 4", "digits-handwritten digits"),
    "synthetic data": Plant(
        "_SIGNAL, _NOISE = 0.12, 0.6", "_SIGNAL, _NOISE = 0.12, 0.5", "synthetic-generated features"
    ),
    "mean over classes": Plant(
        "return float(found.mean()) if found.size else 0.0",
        "return float(np.mean(labels == predicted))",
        "metrics-every metric",
    ),
    "harmonic mean": Plant(
        "return 2 * unseen * seen / (unseen + seen)",
        "return (unseen * seen) ** 0.5",
        "metrics-every metric",
    ),
    "calibration": Plant("else (a + b) / 2,", "else a,", "calibration-bias chosen on folds"),
    "means of classes in the classic plugin": Plant(
        "means = sums / counts[:, None]",
        "means = sums / (counts[:, None] + 1)",
        retrains=("conse", "dap", "gfzsl", "iap", "sae", "sse", "sync"),
        where=CLASSIC,
    ),
    "ridge of the classic plugin": Plant(
        "def squared_distances(",
        "# A comment.\ndef squared_distances(",
        retrains=("cmt", "cmt_star", "dem"),
        where=CLASSIC,
    ),
    # What has no part in any number.
    "a table": Plant(
        'FORMATS = ("github", "latex", "html",', 'FORMATS = ("github", "html", "latex",'
    ),
    "another table": Plant(
        '"""The closed-form and shallow methods', '"""The closed-form methods', where=CLASSIC
    ),
}
#: Golden cases that a harmless change is held against.
SAMPLE = ("stacked-initial weights", "minmax-features", "streams-seeds", "metrics-every metric")
#: Golden cases that need the fixtures of ``tests/conftest.py``.
OF_THE_ENGINE = ("predictions-order of test rows", "task-what a method is handed")


def copied(folder: Path) -> Path:
    """A copy of the program and of the classic plugin, compiled once for all changes."""
    for place in (PROGRAM, CLASSIC):
        shutil.copytree(ROOT / place, folder / place)
        compileall.compile_dir(folder / place, quiet=1)
    return folder


@contextlib.contextmanager
def planted(change: Plant, copy: Path) -> Iterator[None]:
    """The copy has the change within the block."""
    texts = {path: path.read_text() for path in (copy / change.where).rglob("*.py")}
    count = sum(text.count(change.old) for text in texts.values())
    if count != 1:
        raise SystemExit(f"{change.old!r} stands {count} times in {change.where}")
    (file,) = [path for path, text in texts.items() if change.old in text]
    times = file.stat()
    file.write_text(texts[file].replace(change.old, change.new))
    yield
    file.write_text(texts[file])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def forget(*packages: str) -> None:
    """Have packages loaded anew."""
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            del sys.modules[name]


def examine(change: Plant, copy: Path) -> dict[str, object]:
    """What notices the change: golden cases that fail, keys that differ from ``sources``."""
    sys.path[:0] = [str(copy), str((copy / CLASSIC).parent)]
    forget("gzsl_bench", "gzsl_bench_classic", "conftest", "golden_cases")
    importlib.invalidate_caches()
    found: dict[str, object] = {}
    if change.where == CLASSIC or not change.case:
        found["sources"] = sources()
    if change.where == PROGRAM:
        found |= golden((change.case,) if change.case else SAMPLE)
    assert sys.modules["gzsl_bench"].__file__.startswith(str(copy))
    return found


def sources() -> dict[str, str]:
    """The digest of each classic method: what its key says of the plugin."""
    from gzsl_bench_classic import SPECS

    from gzsl_bench.hooks.source import Sources

    reader = Sources(frozenset({"gzsl_bench_classic"}))
    return {spec.name: reader.of(spec.factory).digest for spec in SPECS}


def golden(cases) -> dict[str, object]:
    """The exit code and the words of golden cases."""
    import pytest

    tests = [f"{GOLDEN}/test_golden.py::test_numbers_are_what_they_were[{case}]"
             for case in cases]  # fmt: skip
    # Only what calls the engine needs the fixtures at the top, which import most of the program.
    top = ROOT / "tests" if any(case in OF_THE_ENGINE for case in cases) else GOLDEN
    words = io.StringIO()
    with redirect_stdout(words), redirect_stderr(words):
        code = pytest.main(
            ["-q", "-pno:cacheprovider", "--tb=native", f"--confcutdir={top}", *tests]
        )
    return {"code": int(code), "words": words.getvalue()}


def fork(change: Plant, copy: Path, answer: Path) -> dict[str, object]:
    """Examine a change in a process of its own."""
    answer.unlink(missing_ok=True)
    with planted(change, copy):
        child = os.fork()
        if child == 0:
            try:
                answer.write_text(json.dumps(examine(change, copy)))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    return json.loads(answer.read_text())


if __name__ == "__main__":
    # Nothing is computed before the forks: threads would not survive them.
    for name in ("torch", "scipy.io", "sklearn.datasets", "pydantic", "pytest"):
        importlib.import_module(name)
    sys.path.insert(0, str(ROOT))
    # Two changes of one file within a second would pass for one another.
    sys.dont_write_bytecode = True
    os.environ.pop("GOLDEN", None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.freeze()  # or each fork looks through all of it, more than once
    with tempfile.TemporaryDirectory() as place:
        copy, answer = copied(Path(place) / "copy"), Path(place) / "answer.json"
        names = sys.argv[1:] or list(PLANTS)
        print(json.dumps({name: fork(PLANTS[name], copy, answer) for name in names}))
