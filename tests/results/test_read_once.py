"""Each record and each file of predictions is opened at most once by a command."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.records.record import Provenance, Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import recall

SUITE = """
name: once
datasets: [digits]
methods:
  - {use: eszsl, label: A, tune: {feature_penalty: [0.1, 1.0]}}
  - {use: eszsl, label: B, config: {feature_penalty: 10.0}}
selection: [last, val, best_test]
calibration: true
"""
#: Opened files by name, while somebody counts; a hook stays for as long as the process does.
_counting: list[Counter[str]] = []


def _hook(event: str, arguments: tuple) -> None:
    if event == "open" and _counting and isinstance(arguments[0], str | Path):
        path = Path(arguments[0])
        if path.name in ("record.json", "predictions.npz"):
            _counting[-1][f"{path.parent.name}/{path.name}"] += 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A results folder with everything in it: trained, tuned, mirrored."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "s.yaml").write_text(SUITE)
    where = [str(folder / "s.yaml"), "--out", str(folder / "out"), "--inline"]
    assert run(["run", *where]) == 0
    assert run(["tune", *where]) == 0
    sys.addaudithook(_hook)
    return folder


COMMANDS = {
    "table": ["table"],
    "intervals": ["table", "--intervals", "--format", "json"],
    "daggers": ["table", "--format", "latex", "--metrics", "all"],
    "report": ["report"],
    "compare": ["compare", "A", "B"],
    "rescore": ["rescore"],
    "sync": ["sync"],
    "run": ["run", "--inline"],
    "tune": ["tune", "--inline"],
    "dry run": ["run", "--dry-run"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_file_is_opened_twice(finished, tmp_path, name, capsys):
    shutil.copytree(finished / "out", tmp_path / "out", symlinks=True)
    command, *rest = COMMANDS[name]
    opened: Counter[str] = Counter()
    _counting.append(opened)
    try:
        code = run([command, str(finished / "s.yaml"), *rest, "--out", str(tmp_path / "out")])
    finally:
        _counting.pop()
    assert code == 0, capsys.readouterr().err
    assert opened  # the hook hears
    assert {file: count for file, count in opened.items() if count > 1} == {}


def test_only_failed_opens_each_once_and_the_new_one_once_more(finished, tmp_path, capsys):
    shutil.copytree(finished / "out", tmp_path / "out", symlinks=True)
    store = RecordStore(tmp_path / "out")
    cell = next(iter(recall(store.layout, "once").cells))
    shutil.rmtree(store.layout.cell(cell.key))
    record = Record.of(cell, "failed", Provenance(datetime.now(UTC), 1.0), cause="no")
    store.commit(record)
    opened: Counter[str] = Counter()
    _counting.append(opened)
    try:
        where = [str(finished / "s.yaml"), "--out", str(tmp_path / "out"), "--inline"]
        code = run(["run", "--only-failed", *where])
    finally:
        _counting.pop()
    assert code == 0, capsys.readouterr().err
    # A draft, which has a dot in its name, is read back before it is committed.
    more = {f for f, count in opened.items() if count > 1 and "." not in f.partition("/")[0]}
    assert more <= {f"{cell.key}/record.json"}  # it failed, was moved aside, and is another file


def test_metrics_computed_again_are_not_read_again(finished, tmp_path, capsys):
    """What is rescored to other values counts at once, for the mirror, too."""
    shutil.copytree(finished / "out", tmp_path / "out", symlinks=True)
    (tmp_path / "plugin.py").write_text(
        "from gzsl_bench import MetricSpec, hookimpl\n\n\n@hookimpl\n"
        "def gzsl_bench_metrics():\n"
        "    yield MetricSpec('quarter', lambda p: 0.25, summary='A quarter.')\n"
    )
    opened: Counter[str] = Counter()
    _counting.append(opened)
    try:
        code = run(["rescore", str(finished / "s.yaml"), "--out", str(tmp_path / "out"),
                    "--plugin", str(tmp_path / "plugin.py")])  # fmt: skip
    finally:
        _counting.pop()
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "8 with other metrics than before" in said.err
    assert {file: count for file, count in opened.items() if count > 1} == {}
    assert run(["table", str(finished / "s.yaml"), "--out", str(tmp_path / "out")]) == 0
    assert "quarter" in capsys.readouterr().out
