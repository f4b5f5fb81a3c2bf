"""Installed plugins that are broken, each in its way, beside good ones: the rest works on."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run

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


@pytest.fixture
def site(tmp_path_factory):
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
    yield site
    for name in (*BROKEN, "gz_good"):
        sys.modules.pop(name, None)


def test_the_rest_works_and_each_is_named_in_one_line(site, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("GZSL_BENCH_DATA", "GZSL_BENCH_STRICT_PLUGINS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    monkeypatch.syspath_prepend(site)
    Path("s.yaml").write_text("name: s\ndatasets: [digits]\nmethods: [gz_good, eszsl]\n")

    def call(*arguments: str):
        code = run(arguments)
        said = capsys.readouterr()
        assert code == 0, said.err
        assert "Traceback" not in said.err
        return said

    listed = call("plugins")
    ran = call("run", "s.yaml", "--tracking-uri", "none")
    table = call("table", "s.yaml")
    assert "gz_good" in listed.out
    for text in (ran.out, table.out):
        assert "gz_good" in text
        assert "ESZSL" in text or "eszsl" in text
    for name, (_, _, sentence) in BROKEN.items():
        for done, mark in ((listed, "broken"), (ran, "warning")):
            lines = [line for line in done.err.splitlines() if f"'{name}'" in line]
            assert len(lines) == 1, (name, done.err)
            assert lines[0].startswith(f"{mark}: plugin '{name}' ({name}): ")
            assert sentence in lines[0]
