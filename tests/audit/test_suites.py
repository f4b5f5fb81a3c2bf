"""``gzsl-bench run --audit``: what is audited, written, shown and gone on with."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.engine.audit.plan import plan_audits, subjects, verdicts
from gzsl_bench.engine.audit.unit import AuditUnit
from gzsl_bench.records.audits import AuditStore

HERE = Path(__file__).parent
SUITE = """\
name: mini
datasets: [{datasets}]
methods:
{methods}
seeds: 2
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder in which the cheats are an installed plugin."""
    site = tmp_path_factory.mktemp("site")
    (site / "gz_cheats.py").write_text((HERE / "cheats.py").read_text())
    info = site / "gz_cheats-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gz-cheats\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\ncheats = gz_cheats\n")
    return site


class Program:
    """Runs ``gzsl-bench`` on one suite: inline, or in a process of its own."""

    def __init__(self, folder: Path, capture) -> None:
        self.folder, self.out, self.suite = folder, folder / "out", folder / "mini.yaml"
        self.capture = capture

    def write(self, *methods: str, datasets: str = "digits") -> None:
        lines = "\n".join(f"  - {method}" for method in methods)
        self.suite.write_text(SUITE.format(methods=lines, datasets=datasets))

    def call(self, command: str, *options: str) -> tuple[int, str, str]:
        code = run([command, str(self.suite), "--out", str(self.out), *options])
        found = self.capture.readouterr()
        return code, found.out, found.err

    def train(self, *options: str) -> tuple[int, str, str]:
        return self.call("run", "--tracking-uri", "none", "--device", "cpu", "--inline", *options)

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gzsl_bench", "run", str(self.suite), "--out", str(self.out),
             "--tracking-uri", "none", "--device", "cpu", "--audit", *options],
            cwd=self.folder, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def audit(self, *options: str) -> tuple[int, str, str]:
        """With workers of its own, from this process."""
        return self.call("run", "--tracking-uri", "none", "--device", "cpu", "--audit", *options)

    def audits(self) -> dict[tuple[str, int], dict[str, object]]:
        found = [json.loads(path.read_text()) for path in (self.out / "audits").glob("*.json")]
        return {(audit["label"], audit["seed"]): audit for audit in found}


@pytest.fixture
def program(tmp_path, site, cheats, monkeypatch, capsys):
    for name in ("GZSL_BENCH_DATA", "GZSL_BENCH_STRICT_PLUGINS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GZSL_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(site))
    return Program(tmp_path, capsys)


def files(folder: Path):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_one_seed_of_each_method_is_audited_once(program):
    program.write("honest", "shared")
    code, _, err = program.train()
    assert code == 0, err
    assert "audit" not in err
    records = files(program.out / "cells")
    code, out, err = program.train("--audit")
    assert code == 0, err
    assert files(program.out / "cells") == records
    assert {key: audit["outcome"] for key, audit in program.audits().items()} == {
        ("honest", 0): "ok",
        ("shared", 0): "ok",
    }
    # The new training gave the recorded scores: nothing to remark.
    assert all(audit["notes"] == [] for audit in program.audits().values())
    note = "audited, all equal to their blind twins: honest on digits, shared on digits."
    assert note in out.splitlines()
    assert note in program.call("table")[1].splitlines()
    assert [line.split("|")[4].strip() for line in err.splitlines() if line.startswith("| digits")] == ["ok", "ok"]  # noqa: E501  # fmt: skip
    assert sorted(p.name for p in (program.out / "tmp").glob("*")) == []
    before = files(program.out / "audits")
    code, _, err = program.train("--audit")
    assert (code, "auditing" in err) == (0, False)
    assert files(program.out / "audits") == before


def test_a_failed_audit_is_shown_everywhere_and_gives_exit_code_1(program):
    program.write("{use: learner, label: Sly}", "honest")
    code, out, err = program.train("--audit")
    assert code == 1, err
    audits = program.audits()
    assert audits["Sly", 0]["outcome"] == "failed"
    assert audits["honest", 0]["outcome"] == "ok"
    assert audits["Sly", 0]["findings"][0]["name"] == "learns from what it is shown"
    (line,) = [line for line in out.splitlines() if "FAILED the audit" in line]
    assert line.startswith("Sly on digits FAILED the audit: what its scorers are shown before the")
    assert re.search(r"\| FAILED +\|", err)
    assert "docs/audit.md" in err
    # Every cell is complete: only the audit failed, and stays failed.
    assert "(4 of 4 cells)" in err
    code, _, err = program.train("--audit")
    assert (code, "auditing" in err) == (1, False)
    rows = json.loads(program.call("table", "--format", "json")[1])
    assert [row["audit"][:6] for row in rows] == ["FAILED", "ok"]
    csv = program.call("table", "--format", "csv")[1].splitlines()
    assert csv[0].split(",").count("audit") == 1


@pytest.mark.slow
def test_a_worker_that_dies_leaves_a_reason_and_is_tried_again(program):
    program.write("dies", "honest")
    code, _, err = program.audit("--seeds", "0,", "--jobs", "1")
    assert code == 1, err
    audits = program.audits()
    assert audits["dies", 0]["outcome"] == "not audited"
    reason = audits["dies", 0]["reason"]
    assert reason.startswith("the worker process was killed by signal 9")
    assert reason.endswith("while it audited")
    assert audits["honest", 0]["outcome"] == "ok"
    assert "not audited" in err
    assert "(2 of 2 cells)" in err  # the records are whole
    assert not (program.out / "failed").exists()
    code, out, err = program.audit("--seeds", "0,")
    assert code == 1
    assert "auditing digits · dies" in err
    assert "auditing digits · honest" not in err
    assert "dies" not in "".join(line for line in out.splitlines() if "audit" in line)


def test_cells_that_failed_are_not_audited(program):
    program.write("{use: particular, label: broken, config: {steps: 0}}", "honest")
    code, _, err = program.train("--audit")
    assert code == 1
    assert list(program.audits()) == [("honest", 0)]
    (line,) = [x for x in err.splitlines() if "no cell of it is complete" in x]
    assert "| broken" in line


@pytest.mark.slow
def test_ctrl_c_while_auditing(program):
    program.write("{use: slow, config: {sleep: 0.05, steps: 30}}", "honest")
    process = program.start("--seeds", "0,")
    lines = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if line.startswith("auditing digits · slow"):
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
            break
    out, err = process.communicate(timeout=30)
    err = "".join(lines) + err
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "goes on where it stopped" in err
    assert ("slow", 0) not in program.audits()
    assert list((program.out / "audits").glob("*.tmp")) == []
    code, _, err = program.train("--audit", "--seeds", "0,")
    assert code == 0, err
    assert program.audits()["slow", 0]["outcome"] == "ok"


def test_methods_that_read_the_data_or_the_records_are_caught(
    program, tmp_path, monkeypatch, write_xlsa17
):
    """Files of the xlsa17 layout, their converted copy, the records: each by its path."""
    write_xlsa17(tmp_path / "data" / "TINY")
    monkeypatch.setenv("GZSL_BENCH_DATA", str(tmp_path / "data"))
    program.write("honest", datasets="TINY")
    code, _, err = program.train("--audit")
    assert code == 0, err  # features come from the cache, mapped before: no alarm
    (features,) = (tmp_path / "cache").rglob("features.npy")
    secrets = {
        "mat": tmp_path / "data" / "TINY" / "att_splits.mat",
        "cache": features,
        "record": next((program.out / "cells").glob("*/predictions.npz")),
        "own": program.suite,
    }
    program.write(
        *(f"{{use: opens, label: {name}, config: {{file: {path}}}}}"
          for name, path in secrets.items()),
        datasets="TINY",
    )  # fmt: skip
    code, _, err = program.train("--audit")
    assert code == 1, err
    found = {label: audit for (label, _), audit in program.audits().items()}
    for name in ("mat", "cache", "record"):
        assert found[name]["reason"] == (
            f"while it trains it opens {secrets[name].resolve()}, where test data lie"
        )
    assert found["own"]["outcome"] == found["honest"]["outcome"] == "ok"


def test_inline_and_mlflow(program, empty_mlflow):
    program.out.mkdir()
    shutil.copy(empty_mlflow, program.out / "mlflow.db")
    program.write("honest", "learner")
    code, _, err = program.call("run", "--device", "cpu", "--audit", "--inline", "--seeds", "0,")
    assert code == 1, err
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{program.out / 'mlflow.db'}")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    tags = [run.data.tags for run in client.search_runs(ids)]
    shown = {t.get("gzsl_bench.label"): t.get("gzsl_bench.audit", "")[:6] for t in tags}
    assert shown == {"honest": "ok", "learner": "FAILED", None: ""}  # the last is the suite's own


# Planning, in this process -----------------------------------------------------------------------


@pytest.fixture
def trained(cheats, make_registry, resolve_text, run_inline, tmp_path):
    def go(methods: str, stack: int, seeds: str = "3"):
        registry = make_registry(*cheats.SPECS.values())
        text = f"name: s\ndatasets: [tiny]\nmethods: [{methods}]\nseeds: {seeds}\n"
        suite = resolve_text(text, registry)
        outcome, store, _ = run_inline(suite.cells, registry, stack)
        assert outcome.exit_code == 0
        return suite, store, registry

    return go


def test_a_stacked_cell_is_audited_in_its_company(trained):
    two = "together, {use: together, label: still, config: {share: 0.0}}"
    suite, store, _ = trained(two, 10)
    (unit,) = plan_audits(suite.cells, store)
    assert isinstance(unit, AuditUnit)
    assert len(unit.cells) == 6
    titles = {cell.key: cell.title for cell in suite.cells}
    assert [titles[key] for key in unit.targets] == [
        "tiny · together · seed 0",
        "tiny · still · seed 0",
    ]


def test_audits_of_a_company_end_to_end(trained, tmp_path):
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.executors.inline import inline_executor
    from gzsl_bench.executors.run import run_audits

    two = "together, {use: together, label: still, config: {share: 0.0}}"
    suite, store, registry = trained(two, 10)
    settings = WorkerSettings(store.layout.out, None, None, "cpu", 1)
    assert run_audits(store, suite.cells, inline_executor(registry), settings, lambda e: None)
    found = {verdict.cell.label: verdict.outcome for verdict in verdicts(suite.cells, store)}
    assert found == {"together": "failed", "still": "ok"}
    assert plan_audits(suite.cells, store) == []


def test_one_training_under_two_labels_is_audited_once(trained):
    suite, store, _ = trained("honest, {use: honest, label: again}", 1)
    assert len(subjects(suite.cells)) == 1
    assert len(plan_audits(suite.cells, store)) == 1


def test_an_audit_of_any_seed_counts(trained):
    suite, store, _ = trained("honest", 1)
    audits = AuditStore(store.layout.out)
    assert len(plan_audits(suite.cells, store)) == 1
    content = {"outcome": "ok", "reason": "", "seconds": 1.0}
    assert audits.write(suite.cells[2].key, content)
    assert plan_audits(suite.cells, store) == []
    (verdict,) = verdicts(suite.cells, store)
    assert (verdict.cell.seed, verdict.outcome) == (2, "ok")
    # A failed one counts more.
    assert audits.write(suite.cells[1].key, content | {"outcome": "failed", "reason": "it learns"})
    (verdict,) = verdicts(suite.cells, store)
    assert (verdict.cell.seed, verdict.outcome, verdict.reason) == (1, "failed", "it learns")


def test_an_outcome_stays_and_a_failure_to_audit_does_not(tmp_path):
    audits = AuditStore(tmp_path)
    content = {"outcome": "not audited", "reason": "power failure"}
    assert audits.read("k") is None
    assert audits.write("k", content)
    assert audits.write("k", content | {"outcome": "failed", "reason": "it learns"})
    assert not audits.write("k", content | {"outcome": "ok"})
    assert audits.read("k")["reason"] == "it learns"
    # Damaged or of another version: as if it were not there.
    path = tmp_path / "audits" / "k.json"
    path.write_text(path.read_text().replace('"audit_version": 1', '"audit_version": 0'))
    assert audits.read("k") is None
    path.write_text("{")
    assert audits.read("k") is None
    assert audits.write("k", content)


def test_a_changed_record_is_remarked(trained):
    import numpy as np

    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.executors.inline import inline_executor
    from gzsl_bench.executors.run import run_audits
    from gzsl_bench.records.store import hash_of

    suite, store, registry = trained("honest", 1, seeds="[0]")
    (cell,) = suite.cells
    record = store.read(cell.key)
    arrays = record.predictions()
    arrays["best_seen"][-1, 0] += 1e-3
    np.savez_compressed(record.path / "predictions.npz", **arrays)
    settings = WorkerSettings(store.layout.out, None, None, "cpu", 1)

    def notes() -> list[str]:
        run_audits(store, suite.cells, inline_executor(registry), settings, lambda e: None)
        audit = AuditStore(store.layout.out).read(cell.key)
        assert audit["outcome"] == "ok"
        (store.layout.audits / f"{cell.key}.json").unlink()
        return audit["notes"]

    (note,) = notes()
    assert note.startswith("nothing to compare with: predictions.npz of cell")
    content = json.loads((record.path / "record.json").read_text())
    content["predictions_sha256"] = hash_of(record.path / "predictions.npz")
    (record.path / "record.json").write_text(json.dumps(content))
    assert notes() == [
        "trained once more, it does not give the recorded scores bit for bit"
        " (0 of 60 predictions differ)"
    ]
