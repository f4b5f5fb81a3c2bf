"""Tables from hand-made records: statistics by hand, marks, formats."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from records_factory import commit

from gzsl_bench.errors import SuiteError
from gzsl_bench.records.record import COMPLETE, FAILED, NOT_APPLICABLE
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.failures import failures
from gzsl_bench.report.notes import notes
from gzsl_bench.report.table import render, render_wide
from gzsl_bench.results.comparable import marks
from gzsl_bench.results.rows import chosen_metrics, extra_metrics, rows
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.resolved import ResolvedSuite

NAMES = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc")


def make_cell(
    dataset="CUB",
    label="ACMR",
    seed=0,
    *,
    fingerprint="0123456789abcdef",
    preprocessing="minmax",
    setting="inductive",
    version="0.1.0",
    features="res101",
    **config,
) -> Cell:
    described = identity(
        dataset={
            "fingerprint": fingerprint,
            "trainval_order": "",
            "features": features,
            "attributes": "att",
        },
        preprocessing=preprocessing,
        setting=setting,
        method={"name": "acmr", "version": version, "source": None, "config": config},
        seed=seed,
        precision="float32",
    )
    described |= {"where": dataset, "who": label}
    return Cell(
        key=digest(described),
        identity=described,
        dataset=dataset,
        method="acmr",
        label=label,
        seed=seed,
        request={"use": dataset, "features": features, "attributes": "att"},
        about={"fidelity": "paper", "citation": "", "deterministic": False, "distribution": "x"},
    )


def make_suite(*cells: Cell, selection=("last", "best_test")) -> ResolvedSuite:
    return ResolvedSuite("s", "", tuple(selection), tuple(cells), (), "name: s\n")


def finish(store: RecordStore, cell: Cell, *hs: float, **more: float) -> None:
    """A record with one checkpoint per H; U is H + 1, S is H + 2, T1 is H + 3, AUSUC H / 2."""
    checkpoints = [
        {
            "number": 10 * n,
            "metrics": dict(zip(NAMES, (h + 1, h + 2, h, h + 3, h / 2), strict=True)) | more,
        }
        for n, h in enumerate(hs, start=1)
    ]
    commit(store, cell, {"status": COMPLETE, "checkpoints": checkpoints})


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "out")


def test_means_and_deviations_by_hand(store):
    cells = [make_cell(seed=s) for s in (0, 3, 7)]
    for cell, hs in zip(cells, ([10, 50, 40], [60, 42, 44], [20, 30, 48]), strict=True):
        finish(store, cell, *hs)
    last, best = rows(Results(make_suite(*cells), store))
    assert (last.selection, best.selection) == ("last", "best_test")
    assert list(last.seeds) == [0, 3, 7]
    assert list(last.keys) == [cell.key for cell in cells]
    # 40, 44, 48: mean 44, squared deviations 16 + 0 + 16 over 2.
    assert last.metrics["harmonic_mean"].to_json() == {
        "mean": 44.0,
        "sd": pytest.approx(4.0),
        "n": 3,
    }
    assert last.summary("acc_unseen").mean == 45.0
    assert last.metrics["ausuc"].to_json() == {"mean": 22.0, "sd": pytest.approx(2.0), "n": 3}
    # Each seed's own best: 50, 60, 48, and the other metrics of that very checkpoint.
    assert best.summary().mean == pytest.approx(158 / 3)
    assert best.summary("acc_seen").mean == pytest.approx(158 / 3 + 2)
    assert "| 44.0 ± 4.0 |" in render([last])


def test_one_seed_has_no_deviation(store):
    cell = make_cell()
    finish(store, cell, 41.26)
    (row, _) = rows(Results(make_suite(cell), store))
    assert row.metrics["harmonic_mean"].to_json() == {"mean": 41.26, "sd": None, "n": 1}
    text = render([row])
    assert "41.3" in text
    assert "±" not in text.split("\n\n")[0]
    assert json.loads(render([row], "json"))[0]["harmonic_mean"]["sd"] is None


def test_failed_and_absent_cells_are_no_part_of_a_row(store):
    cells = [make_cell(seed=s) for s in range(4)]
    finish(store, cells[0], 10)
    finish(store, cells[1], 20)
    commit(store, cells[2], {"status": FAILED, "cause": "no"})
    other = make_cell(label="none of it")
    suite = make_suite(*cells, other)
    row = rows(Results(suite, store))[0]
    assert list(row.seeds) == [0, 1]
    assert row.summary().n == 2
    assert row.lost == ("seed 2 failed: no",)
    # Nothing of the other has run yet: it keeps its place.
    (lone,) = [r for r in rows(Results(suite, store)) if r.label == "none of it"]
    assert (lone.fate, lone.unavailable, lone.seeds) == ("not run", "not run yet", ())
    waiting, failed = Results(suite, store).missing()
    assert [c.label for c in waiting] == ["ACMR", "none of it"]
    assert [r.key for r in failed] == [cells[2].key]


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({"fingerprint": "ffff000011112222"}, "(res101, att, ffff00)"),
        ({"features": "phog"}, "(phog, att, 012345)"),
        ({"preprocessing": "l2"}, "ACMR (l2)"),
        ({"version": "0.2.0"}, "ACMR (0.2.0)"),
    ],
)
def test_numbers_of_different_identity_never_share_a_row_silently(store, other, shown):
    cells = [make_cell(seed=0), make_cell(seed=1, **other)]
    for cell in cells:
        finish(store, cell, 40)
    table = rows(Results(make_suite(*cells, selection=["last"]), store))
    assert [row.seeds for row in table] == [(0,), (1,)]
    for fmt in ("github", "latex"):
        body = render(table, fmt)
        assert shown in body.replace("\\_", "_")
    lines = [line for line in render(table).splitlines() if line.startswith("| CUB")]
    names = [tuple(part.strip() for part in line.split("|")[1:3]) for line in lines]
    assert len(set(names)) == 2


def test_configurations_under_one_label_do_not_mix(store):
    cells = [make_cell(seed=0, alpha=1), make_cell(seed=1, alpha=2)]
    for cell in cells:
        finish(store, cell, 40)
    assert len(rows(Results(make_suite(*cells, selection=["last"]), store))) == 2


@pytest.mark.parametrize(
    ("options", "mark", "note"),
    [
        (
            {"preprocessing": "minmax_refit_on_test"},
            "CUB [minmax_refit_on_test]",
            "the scaler has seen the test set; not comparable",
        ),
        ({"setting": "transductive"}, "CUB [transductive]", "unlabelled test images"),
    ],
)
def test_what_is_not_comparable_is_marked(store, options, mark, note):
    marked, plain = make_cell(label="A", **options), make_cell(label="B")
    for cell in (marked, plain):
        finish(store, cell, 40)
    table = rows(Results(make_suite(marked, plain, selection=["last"]), store))
    text = render(table)
    lines = [line for line in text.splitlines() if line.startswith("| CUB")]
    assert mark in lines[0]
    assert "[" not in lines[1]
    assert note in text
    assert note not in render(table[1:])


def test_what_methods_leave_out_of_their_papers_stands_under_every_table(store):
    frozen = {"differs": "frozen backbone"}
    cells = [make_cell(label=label) for label in ("A", "B & C", "D")]
    cells = [replace(cell, about={**cell.about, **frozen}) for cell in cells[:2]] + cells[2:]
    for cell in cells:
        finish(store, cell, 40)
    table = rows(Results(make_suite(*cells, selection=["last"]), store))
    said = "Not as published: A, B & C: frozen backbone."
    assert said in render(table)
    assert said in render_wide(table)
    for text in (render(table, "html"), render_wide(table, "html")):
        assert said.replace("&", "&amp;") in text
    for text in (render(table, "latex"), render_wide(table, "latex")):
        caption = text[text.index("\\begin{table") :]
        assert said.replace("&", "\\&") in " ".join(caption.split())
    assert "Not as published" not in render(table[2:])


def test_best_test_is_called_optimistic(store):
    cell = make_cell()
    finish(store, cell, 40)
    both = rows(Results(make_suite(cell), store))
    assert any("optimistic" in line for line in notes(both))
    assert not any("optimistic" in line for line in notes(both[:1]))


def test_metrics_of_plugins_get_columns(store):
    cells = [make_cell(seed=s) for s in (0, 1)]
    finish(store, cells[0], 40, calibration=3.5)
    finish(store, cells[1], 40, calibration=4.5)
    table = rows(Results(make_suite(*cells, selection=["last"]), store))
    assert extra_metrics(table) == ["calibration"]
    assert table[0].summary("calibration").mean == 4.0
    assert "calibration" in render(table).splitlines()[0]


def test_a_metric_that_some_seeds_lack_is_not_averaged(store):
    cells = [make_cell(seed=s) for s in (0, 1)]
    finish(store, cells[0], 40, calibration=3.5)
    finish(store, cells[1], 40)
    (row,) = rows(Results(make_suite(*cells, selection=["last"]), store))
    assert row.metrics["calibration"] is None
    for fmt in ("github", "latex", "csv", "json"):
        render([row], fmt)


def test_awkward_names_survive_every_format(store):
    cell = replace(make_cell(), label='50% of A_B & "C", #1')
    finish(store, cell, 40)
    table = rows(Results(make_suite(cell, selection=["last"]), store))
    (line,) = csv.DictReader(io.StringIO(render(table, "csv")))
    assert line["label"] == cell.label
    assert json.loads(render(table, "json"))[0]["label"] == cell.label
    body = render(table, "latex").split("\\midrule")[1]
    assert '50\\% of A\\_B \\& "C", \\#1' in body
    assert "$\\pm$" not in body


def test_a_bar_in_a_label_does_not_break_the_table(store):
    cell = replace(make_cell(), label="A|B")
    finish(store, cell, 40)
    lines = render(rows(Results(make_suite(cell, selection=["last"]), store))).splitlines()
    bars = [line.replace("\\|", "").count("|") for line in lines[:3]]
    assert len(set(bars)) == 1


def test_latex_comments_stand_before_the_table(store):
    cell = make_cell()
    finish(store, cell, 40)
    text = render(rows(Results(make_suite(cell), store)), "latex")
    comments, begin, _ = text.partition("\\begin{table}")
    assert begin
    assert all(line.startswith("%") for line in comments.splitlines())


def test_a_method_has_a_row_on_every_data_set_whatever_became_of_it(store):
    """One that ran, one that waits, and one that the suite has on another data set alone."""
    cells = [make_cell(), make_cell(label="waits"), make_cell(dataset="SUN", label="elsewhere",
                                                              features="phog")]  # fmt: skip
    finish(store, cells[0], 40)
    table = rows(Results(make_suite(*cells, selection=["last"]), store))
    why = "left out: the suite does not run it on this data set"
    assert [(r.dataset, r.label, r.fate, r.unavailable, r.features) for r in table] == [
        ("CUB", "ACMR", "", "", "res101"), ("CUB", "waits", "not run", "not run yet", "res101"),
        ("CUB", "elsewhere", "left out", why, "res101"),
        ("SUN", "elsewhere", "not run", "not run yet", "phog"),
        ("SUN", "ACMR", "left out", why, "phog"), ("SUN", "waits", "left out", why, "phog"),
    ]  # fmt: skip
    text = render(table)
    for line in (
        "| CUB      | waits     | not run   | 0",
        "| SUN      | ACMR      | left out  | 0",
    ):
        assert line in text
    assert f"ACMR, waits on SUN: {why}." in text
    assert "waits on CUB: not run yet." in text
    # As in any paper, a dash where nothing was asked for.
    wide = [[c.strip() for c in x.split("|")[1:-1]] for x in render_wide(table).splitlines()[2:5]]
    assert wide[1:] == [["waits", "", "", "not run", "-", "-", "-"],
                        ["elsewhere", "-", "-", "-", "", "", "not run"]]  # fmt: skip


def test_nothing_finished_is_an_empty_table(store):
    suite = make_suite(make_cell())
    assert rows(Results(suite, store)) == []
    assert json.loads(render([], "json")) == []
    for fmt in ("github", "latex", "csv"):
        render([], fmt)


def test_the_table_of_failures(store):
    cell = make_cell(seed=4)
    commit(store, cell, {"status": FAILED, "cause": "x" * 500})
    text = failures([store.read(cell.key)])
    assert "| CUB" in text
    assert "x" * 120 in text
    assert "x" * 121 not in text


ABOUT = {
    "loss": {"percent": False, "higher_is_better": False, "unit": "nats", "summary": "Of what?",
             "in_table": True},
    "quiet": {"percent": True, "higher_is_better": True, "unit": "%", "summary": "",
              "in_table": False},
}  # fmt: skip


def with_extras(store, cell):
    metrics = dict.fromkeys(NAMES, 50.0) | {"loss": 0.01234, "quiet": 12.0}
    checkpoints = [{"number": 1, "metrics": metrics}]
    commit(store, cell, {"status": COMPLETE, "checkpoints": checkpoints, "metrics": ABOUT})


def test_quiet_metrics_stand_in_no_table_unless_asked_for(store):
    cell = make_cell()
    with_extras(store, cell)
    table = rows(Results(make_suite(cell, selection=["last"]), store))
    assert extra_metrics(table) == ["loss"]
    assert extra_metrics(table, quiet=True) == ["loss", "quiet"]
    head, *_, note = [line for line in render(table).splitlines() if "loss" in line]
    assert "quiet" not in head
    assert note == "loss (nats, lower is better): Of what?"
    assert "0.0123" in render(table)  # no percentage: three digits, not one decimal
    (line,) = csv.DictReader(io.StringIO(render(table, "csv")))
    assert line["quiet_mean"] == "12.0"  # programs get everything
    (row,) = json.loads(render(table, "json"))
    assert row["quiet"]["mean"] == 12.0
    assert row["extra"]["loss"]["unit"] == "nats"


def test_the_columns_asked_for(store):
    cell = make_cell()
    with_extras(store, cell)
    table = rows(Results(make_suite(cell, selection=["last"]), store))
    names = chosen_metrics(table, ["quiet", "harmonic_mean"])
    latex = render(table, "latex", names).split("\\midrule")[0].split("\\toprule")[1]
    assert "quiet" in latex
    assert "AUSUC" not in latex
    heads = [cell.strip() for cell in render(table, metrics=names).splitlines()[0].split("|")]
    assert heads[5:7] == ["quiet", "H"]
    with pytest.raises(SuiteError, match="unknown metric 'harmonic'; did you mean 'harmonic_mean'"):
        chosen_metrics(table, ["harmonic"])


def test_records_of_before_say_less_and_still_make_a_table(store):
    cells = [make_cell(seed=0), make_cell(seed=1)]
    finish(store, cells[0], 40)
    with_extras(store, cells[1])
    (row,) = rows(Results(make_suite(*cells, selection=["last"]), store))
    assert row.metrics["quiet"] is None
    assert row.to_json()["checkpoints"] == [10, 1]
    assert "| CUB" in render([row])


@pytest.mark.parametrize(
    ("status", "word", "why"),
    [
        (FAILED, "failed", "failed: no  memory"),
        (NOT_APPLICABLE, "n/a", "not applicable: no  memory"),
    ],
)
def test_a_method_without_numbers_keeps_its_row_in_every_format(store, status, word, why):
    fine, lost = make_cell(label="fine"), [make_cell(label="lost", seed=s) for s in (0, 1)]
    finish(store, fine, 40)
    for cell in lost:
        commit(store, cell, {"status": status, "cause": "no \n memory"})
    table = rows(Results(make_suite(fine, *lost), store))
    assert [row.label for row in table] == ["fine", "fine", "lost"]
    why = why.replace("  ", " ")
    assert table[2].unavailable == why
    assert json.loads(render(table, "json"))[2]["unavailable"] == why
    *_, line = csv.DictReader(io.StringIO(render(table, "csv")))
    assert (line["label"], line["unavailable"]) == ("lost", why)
    for fmt in ("github", "latex", "html"):
        text = render(table, fmt)
        (row,) = [x for x in text.splitlines() if "lost" in x and "40" not in x and word in x
                  and "memory" not in x]  # fmt: skip
        assert f"lost on CUB: {why}." in text
    # Whoever fails wins nothing and is second to nobody.
    assert {table[i].label for i, _ in marks(table, ["harmonic_mean"])} <= {"fine"}


def test_causes_are_cut_and_counted(store):
    lost = [make_cell(seed=s) for s in (0, 1, 2)]
    for cell, cause in zip(lost, ("x" * 500, "y", "y"), strict=True):
        commit(store, cell, {"status": FAILED, "cause": cause})
    (row,) = rows(Results(make_suite(*lost), store))
    assert row.unavailable == f"failed: {'x' * 199}\N{HORIZONTAL ELLIPSIS} (and other causes)"
