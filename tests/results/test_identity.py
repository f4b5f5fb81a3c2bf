"""Rows that measured different things: shown apart and named, refused by --strict."""

from __future__ import annotations

import pytest
from records_factory import commit

from gzsl_bench.cli.main import run
from gzsl_bench.records.record import COMPLETE
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import remember
from gzsl_bench.report.table import render
from gzsl_bench.results.identity import differences
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.resolved import ResolvedSuite

NAMES = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc")
PLAIN = {
    "fingerprint": "0123456789abcdef", "features": "res101", "attributes": "att",
    "preprocessing": "minmax", "precision": "float32", "setting": "inductive",
}  # fmt: skip


def make_cell(label="A", seed=0, method="acmr", dataset="CUB", **changed) -> Cell:
    what = PLAIN | changed
    described = identity(
        dataset={
            "fingerprint": what["fingerprint"], "trainval_order": "",
            "features": what["features"], "attributes": what["attributes"],
        },
        preprocessing=what["preprocessing"], setting=what["setting"],
        method={"name": method, "version": "1", "source": None, "config": {}},
        seed=seed, precision=what["precision"],
    )  # fmt: skip
    return Cell(
        key=digest(described), identity=described,
        dataset=dataset, method=method, label=label, seed=seed,
        request={"use": dataset, "features": what["features"], "attributes": what["attributes"]},
        about={"fidelity": "paper", "citation": "", "deterministic": False},
    )  # fmt: skip


@pytest.fixture
def build(tmp_path):
    def go(*cells):
        store = RecordStore(tmp_path / "out")
        for cell in cells:
            lines = [{"number": 1, "metrics": dict.fromkeys(NAMES, 50.0)}]
            commit(store, cell, {"status": COMPLETE, "checkpoints": lines})
        suite = ResolvedSuite("s", "", ("last",), cells, (), "name: s\n")
        remember(store.layout, suite)
        return rows(Results(suite, store)), str(store.layout.out)

    return go


AXES = {
    "data content": {"fingerprint": "ffff000011112222"},
    "features": {"features": "resnet_fc1000"},
    "class embedding": {"attributes": "sentences.npy"},
    "preprocessing": {"preprocessing": "l2"},
    "precision": {"precision": "bf16"},
}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("label", ["A", "B"])
def test_the_five_axes(build, capsys, axis, label):
    """Under one label and under two: rows of their own, told apart by name, said, and refused."""
    table, out = build(make_cell(), make_cell(label, seed=1, **AXES[axis]))
    assert [row.seeds for row in table] == [(0,), (1,)]
    (found,) = differences(table)
    assert found.axis == axis
    text = render(table)
    assert f"rows differ in {axis} (" in text
    names = [tuple(cell.strip() for cell in line.split("|")[1:3])
             for line in text.splitlines() if line.startswith("| CUB")]  # fmt: skip
    assert len(set(names)) == 2
    value = next(iter(AXES[axis].values()))
    assert any(value[:6] in part for part in names[1])
    assert any(PLAIN[next(iter(AXES[axis]))][:6] in part for part in names[0])
    assert run(["table", "s", "--out", out]) == 0
    capsys.readouterr()
    assert run(["table", "s", "--out", out, "--strict"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert f"rows differ in {axis}" in said.err


def test_what_is_comparable_passes(build, capsys):
    cells = [make_cell(seed=s) for s in (0, 1)]
    cells.append(make_cell("ESZSL", method="eszsl", preprocessing="none"))  # a recipe of its own
    cells.append(make_cell(dataset="FLO", features="mobilenetv2", fingerprint="aaaa"))
    table, out = build(*cells)
    assert differences(table) == []
    assert "not comparable" not in render(table)
    assert run(["table", "s", "--out", out, "--strict"]) == 0
    assert "| FLO" in capsys.readouterr().out


def test_a_transductive_row_is_another_thing(build):
    table, _ = build(make_cell(), make_cell("T", setting="transductive"))
    assert [d.axis for d in differences(table)] == ["setting"]


def test_every_difference_is_counted(build, capsys):
    _, out = build(make_cell(), make_cell("B", features="phog", precision="bf16"))
    assert run(["table", "s", "--out", out, "--strict"]) == 2
    assert "(and 1 more)" in capsys.readouterr().err
