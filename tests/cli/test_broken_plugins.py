"""Installed plugins that are broken, each in its way, beside good ones: the rest works on."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

GOOD = """
    from gzsl_bench import Method, MethodSpec, hookimpl

    class Sums(Method):
        def fit(self, task, run):
            return lambda x: x[:, :task.num_classes] if x.shape[1] > task.num_classes else x

    @hookimpl
    def gzsl_bench_methods():
        yield MethodSpec("gz_good", Sums, "nobody", "paper", deterministic=True)
"""
HOOK = "from gzsl_bench import *\n@hookimpl\ndef gzsl_bench_methods():\n    "
#: name -> (source, Requires-Dist, what its line says)
BROKEN = {
    "gz_import": ("1 / 0", "", "cannot be loaded: ZeroDivisionError"),
    "gz_hook": (HOOK + "raise KeyError('far')", "", "hook gzsl_bench_methods fails: KeyError"),
    "gz_type": (HOOK + "return ['eszsl']", "", "gave str where MethodSpec is expected"),
    "gz_clash": (
        "from gzsl_bench import *\n@hookimpl\ndef gzsl_bench_metrics():\n"
        "    yield MetricSpec('harmonic_mean', len)",
        "",
        "'harmonic_mean' is ignored, since that name is already taken",
    ),
    "gz_dependency": ("import no_such_package_anywhere", "", "No module named 'no_such_package"),
    "gz_old": ("gzsl_bench_hooks = 0\n" + HOOK + "return []", "", "version 0 of the hooks"),
    "gz_newer": ("from gzsl_bench import SomethingNew", "", "written for another gzsl-bench"),
    "gz_release": ("raise SystemExit", "gzsl-bench>=9", "it needs gzsl-bench >=9"),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    for name, (source, needs, _) in {**BROKEN, "gz_good": (GOOD, "", "")}.items():
        (site / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}"
        )
        (info / "entry_points.txt").write_text(f"[gzsl_bench]\n{name} = {name}\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    left_out = ("GZSL_BENCH_DATA", "GZSL_BENCH_STRICT_PLUGINS", "MLFLOW_TRACKING_URI")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"PYTHONPATH": path}


def call(folder: Path, environment: dict[str, str], *arguments: str):
    return subprocess.run(
        [sys.executable, "-m", "gzsl_bench", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_the_rest_works_and_each_is_named_in_one_line(environment, tmp_path):
    (tmp_path / "s.yaml").write_text("name: s\ndatasets: [digits]\nmethods: [gz_good, eszsl]\n")
    listed = call(tmp_path, environment, "plugins")
    ran = call(tmp_path, environment, "run", "s.yaml", "--tracking-uri", "none")
    table = call(tmp_path, environment, "table", "s.yaml")
    for done in (listed, ran, table):
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert "gz_good" in listed.stdout
    for text in (ran.stdout, table.stdout):
        assert "gz_good" in text
        assert "ESZSL" in text or "eszsl" in text
    for name, (_, _, sentence) in BROKEN.items():
        for done, mark in ((listed, "broken"), (ran, "warning")):
            lines = [line for line in done.stderr.splitlines() if f"'{name}'" in line]
            assert len(lines) == 1, (name, done.stderr)
            assert lines[0].startswith(f"{mark}: plugin '{name}' ({name}): ")
            assert sentence in lines[0]
