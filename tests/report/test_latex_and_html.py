"""Tables for papers and web pages: marks by hand, daggers, escaping, the caption's protocol."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from records_factory import commit

from gzsl_bench.errors import SuiteError
from gzsl_bench.records.record import COMPLETE
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report import latex
from gzsl_bench.report.daggers import Daggers, daggers, seeds_needed
from gzsl_bench.report.table import render
from gzsl_bench.results.comparable import leagues, marks
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.resolved import ResolvedSuite

NAMES = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc")


def cell(label, seed=0, dataset="CUB", preprocessing="minmax", deterministic=False) -> Cell:
    described = identity(
        dataset={"fingerprint": "0123456789abcdef", "trainval_order": "", "features": "res101",
                 "attributes": "att"},
        preprocessing=preprocessing, setting="inductive",
        method={"name": label.lower(), "version": "1", "source": None, "config": {}},
        seed=seed, precision="float32",
    )  # fmt: skip
    about = {"fidelity": "paper", "citation": "", "deterministic": deterministic}
    return Cell(digest(described), described, dataset, label.lower(), label, seed,
                {"use": dataset, "features": "res101", "attributes": "att"}, about)  # fmt: skip


def suite_of(*cells: Cell, selection=("last",)) -> ResolvedSuite:
    return ResolvedSuite("s", "", selection, cells, (), "name: s\n")


def finish(store, cell, **metrics):
    values = dict.fromkeys(NAMES, 50.0) | metrics
    commit(store, cell, {"status": COMPLETE, "checkpoints": [{"number": 1, "metrics": values}]})


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "out")


def test_best_and_second_by_hand(store):
    a, b, c, leak, other = (
        cell("A"), cell("B"), cell("C"), cell("D", preprocessing="minmax_refit_on_test"),
        cell("A", dataset="SUN"),
    )  # fmt: skip
    for one, h in ((a, 41.26), (b, 41.34), (c, 30.0), (leak, 90.0), (other, 10.0)):
        finish(store, one, harmonic_mean=h)
    table = rows(Results(suite_of(a, b, c, leak, other), store))
    found = marks(table, ["harmonic_mean"])
    # Both are printed 41.3: both are the best.  What leaks takes no part, nor does a lone row.
    assert found == {(0, "harmonic_mean"): 1, (1, "harmonic_mean"): 1, (2, "harmonic_mean"): 2}
    assert sorted(len(rivals) for rivals in leagues(table).values()) == [1, 3]
    text = render(table, "latex", ["harmonic_mean"])
    assert text.count("\\textbf{41.3}") == 2
    assert text.count("\\underline{30.0}") == 1
    assert "\\textbf{90.0}" not in text
    page = render(table, "html", ["harmonic_mean"])
    assert page.count("<strong>41.3</strong>") == 2
    assert "<u>30.0</u>" in page


def test_rules_are_ranked_apart_and_lower_may_be_better(store):
    one, two = cell("A"), cell("B")
    about = {"loss": {"percent": False, "higher_is_better": False, "unit": "", "summary": "",
                      "in_table": True}}  # fmt: skip
    for c, hs, loss in ((one, (40.0, 45.0, 41.0), 0.5), (two, (50.0, 44.0, 40.0), 0.25)):
        checkpoints = [
            {
                "number": n,
                "metrics": dict.fromkeys(NAMES, 50.0) | {"harmonic_mean": h, "loss": loss},
            }
            for n, h in enumerate(hs, start=1)
        ]
        commit(store, c, {"status": COMPLETE, "checkpoints": checkpoints, "metrics": about})
    table = rows(Results(suite_of(one, two, selection=("last", "best_test")), store))
    found = marks(table, ["harmonic_mean", "loss"])
    first = [key for key, mark in found.items() if mark == 1]
    best = {(table[i].label, table[i].selection, name) for i, name in first}
    assert ("A", "last", "harmonic_mean") in best
    assert ("B", "best_test", "harmonic_mean") in best
    assert ("B", "last", "loss") in best
    assert len(best) == 4


def test_the_latex_table_is_whole_and_its_caption_states_the_protocol(store):
    one, two = replace(cell("A"), label="50% <A>_~^\\{x}"), cell("B")
    for c in (one, two):
        finish(store, c)
    text = render(
        rows(Results(suite_of(one, two, selection=("last", "best_test")), store)), "latex"
    )
    comments, _, body = text.partition("\\begin{table}")
    assert "% \\usepackage{booktabs}" in comments
    assert "version 1" in comments
    assert "version 1" not in body
    for rule in ("\\toprule", "\\midrule", "\\bottomrule"):
        assert body.count(rule) == 1
    caption = re.search(r"\\caption\{(.*)\}\n", body)[1]
    assert "best\\_test chooses the checkpoint on the test set" in caption
    assert "features res101, class embedding att" in caption
    assert "Best in bold" in caption
    assert "50\\% $<$A$>$\\_\\~{}\\^{}\\textbackslash{}\\{x\\}" in body
    lines = body.split("\\midrule\n")[1].split("\\bottomrule")[0].strip().splitlines()
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", body)[1])
    assert {line.count(" & ") + 1 for line in lines} == {columns}
    assert all(line.endswith(" \\\\") for line in lines)
    # Unescaped signs that would end or open something in LaTeX.
    assert body.count("{") - body.count("\\{") == body.count("}") - body.count("\\}")


def test_no_label_ends_a_comment(store):
    evil = "x\n\\input{/etc/passwd}"
    one, two = replace(cell("A"), label=evil), replace(cell("B"), dataset="D\r\\input{y}")
    for c in (one, two):
        finish(store, c)
    table = rows(Results(suite_of(one, two), store))
    for text in (render(table, "latex"), render(table, "latex", ["harmonic_mean"])):
        lines = re.split("[\n\r]", text)
        assert not [line for line in lines if line.lstrip().startswith("\\input")]
    assert latex.comment(evil) == "% x \\input{/etc/passwd}"


def test_a_line_stands_between_data_sets():
    text = latex.tabular([["a"], ["b"], ["c"]], ["x"], groups=["one", "one", "two"])
    assert text.splitlines()[3:] == [
        "\\midrule", "a \\\\", "b \\\\", "\\midrule", "c \\\\", "\\bottomrule", "\\end{tabular}",
    ]  # fmt: skip


def test_the_html_table_is_escaped(store):
    evil = "<script>alert(1)</script>"
    one, two = replace(cell("A"), label=evil), cell("B")
    for c in (one, two):
        finish(store, c)
    text = render(rows(Results(suite_of(one, two), store)), "html")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.startswith("<table>")
    assert "Bold: best" not in text or "<strong>" in text


def predictions(right: int, classes: int = 8, rows_per_class: int = 10):
    """Every class has ``right`` of its rows right; the others are called the next class."""
    seen, unseen = np.arange(classes), np.arange(classes, 2 * classes)
    labels = np.repeat(np.arange(2 * classes), rows_per_class)
    wrong = np.tile(np.arange(rows_per_class) >= right, 2 * classes)
    shifted = (labels + 1) % classes + classes * (labels >= classes)
    best = np.where(wrong, shifted, labels)
    return {
        "labels": labels, "seen": seen, "unseen": unseen, "checkpoints": np.array([1]),
        "predicted": best[None], "predicted_seen": (best % classes)[None],
        "predicted_unseen": (best % classes + classes)[None], "scored": np.array([1]),
        "best_seen": np.zeros((1, labels.size)), "best_unseen": np.zeros((1, labels.size)),
    }  # fmt: skip


def compared(store, seeds: int):
    cells = []
    for label, right in (("good", 8), ("same", 5), ("base", 5)):
        for seed in range(seeds):
            one = cell(label, seed)
            values = dict.fromkeys(NAMES, 10.0 * right)
            checkpoints = [{"number": 1, "metrics": values}]
            arrays = predictions(right)
            commit(store, one, {"status": COMPLETE, "checkpoints": checkpoints}, arrays)
            cells.append(one)
    return suite_of(*cells)


def test_daggers_mark_what_differs_of_all_that_is_marked(store, tmp_path):
    few = compared(store, 3)
    table = rows(Results(few, store))
    found = daggers(table, Results(few, store), "base")
    # Every class of good is better: of 2^8 patterns of U, S and T1 two are as extreme, of H's 2^16
    # fewer. Corrected for 4 metrics of 2 rows H stays; the next one fails by 7 * 2 / 2^8 = 0.055.
    good = next(i for i, row in enumerate(table) if row.label == "good")
    assert (found.tests, found.rule, found.metrics) == (8, "last", NAMES[:4])
    assert found.marks == {(good, "harmonic_mean"): 1}
    # U, S and T1 alone: 6 * 2 / 2^8 = 0.047.
    three = daggers(table, Results(few, store), "base", ["acc_unseen", "acc_seen", "zsl_acc"])
    assert {name for _, name in three.marks} == {"acc_unseen", "acc_seen", "zsl_acc"}
    assert three.tests == 6
    # One metric alone: two tests, and two daggers take 2 * 2 / 2^n < 0.05, seven seeds.
    alone = daggers(table, Results(few, store), "base", ["harmonic_mean", "ausuc"])
    assert (alone.tests, alone.seed_tests, seeds_needed(2)) == (2, 2, 7)
    assert "†" in alone.note()[0]
    assert "all 2 tests of this table (H of every row of last)" in alone.note()[0]
    assert "$^{\\dagger}$" in render(table, "latex", ["harmonic_mean"], daggers=alone)
    assert "<sup>†</sup>" in render(table, "html", ["harmonic_mean"], daggers=alone)
    for seeds, marked in ((6, {1}), (7, {2})):
        other = RecordStore(tmp_path / f"{seeds}")
        many = compared(other, seeds)
        more = daggers(rows(Results(many, other)), Results(many, other), "base", NAMES[2:3])
        assert set(more.marks.values()) == marked
    # All four metrics take 8 * 2 / 2^n < 0.05.
    assert (seeds_needed(8), seeds_needed(1)) == (9, 6)


def test_the_family_is_one_rule_and_what_shares_records_is_tested_once(store):
    suite = compared(store, 3)
    both = replace(suite, selection=("best_test", "last"))
    again = replace(both, cells=(*both.cells, *(replace(c, label="good again")
                    for c in both.cells if c.label == "good")))  # fmt: skip
    results = Results(again, store)
    table = rows(results)
    found = daggers(table, results, "base", ["harmonic_mean"])
    assert found.tests == 2  # good and same, by last
    marked = {(table[i].label, table[i].selection) for i, _ in found.marks}
    assert marked == {("good", "last"), ("good again", "last")}
    other = daggers(table, results, "base", ["harmonic_mean"], "best_test")
    assert {table[i].selection for i, _ in other.marks} == {"best_test"}
    with pytest.raises(SuiteError, match="none of the table's metrics can be tested"):
        daggers(table, results, "base", ["ausuc"])


def test_daggers_refuse_what_tells_nothing(store):
    single = compared(store, 1)
    with pytest.raises(SuiteError, match="no row can be tested against base.*run at least 2 seeds"):
        daggers(rows(Results(single, store)), Results(single, store), "base")
    with pytest.raises(SuiteError, match="unknown method of this suite 'bse'"):
        daggers(rows(Results(single, store)), Results(single, store), "bse")


def test_the_note_names_what_was_not_compared():
    note = Daggers("base", "val", {}, ("acc_seen",), 3, 0, ("x is stochastic with 1 seed",)).note()
    assert note[1] == "Not tested: x is stochastic with 1 seed."
    assert "all 3 tests of this table (S of every row of val)." in note[0]
    assert "‡" not in note[0]  # no row has seeds
