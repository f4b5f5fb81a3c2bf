"""Comparisons and intervals from records with made predictions: who is paired, what is refused."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from records_factory import commit

from gzsl_bench.cli.main import run
from gzsl_bench.errors import SuiteError
from gzsl_bench.published.entries import Entry
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.record import COMPLETE, NOT_APPLICABLE
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import remember
from gzsl_bench.report import orders
from gzsl_bench.report.compare import against_best, compare, table_of
from gzsl_bench.report.fragile import fragile_pairs
from gzsl_bench.report.pairs import standing
from gzsl_bench.report.ranking import open_ranks, rank
from gzsl_bench.report.samples import sample, with_intervals
from gzsl_bench.report.table import render
from gzsl_bench.report.versus import as_text
from gzsl_bench.results.names import method_label
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.intervals import intervals
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.resolved import ResolvedSuite

#: Rows of each class: classes 0 to 2 are seen, 3 and 4 unseen.
PER_CLASS = 10
SEEN, UNSEEN = np.arange(3), np.arange(3, 5)


def make_cell(label="A", dataset="CUB", seed=0, deterministic=False, **changed) -> Cell:
    described = identity(
        dataset={
            "fingerprint": changed.pop("fingerprint", f"fp-{dataset}"),
            "trainval_order": "",
            "features": changed.pop("features", "res101"),
            "attributes": "att",
        },
        preprocessing=changed.pop("preprocessing", "minmax"),
        setting="inductive",
        method={"name": label.lower()[0], "version": "1", "source": None, "config": changed},
        seed=seed,
        precision="float32",
    )
    described["who"] = label
    return Cell(
        key=digest(described), identity=described, dataset=dataset,
        method=label.lower()[0], label=label, seed=seed,
        request={"use": dataset, "features": "res101", "attributes": "att"},
        about={"fidelity": "paper", "citation": "", "deterministic": deterministic},
    )  # fmt: skip


def arrays(*checkpoints):
    """Predictions of which, of class c, ``right[c]`` of the ten rows are right; the rest go to 0.

    Rows of class 0 that are wrong are called 1.
    """
    labels = np.repeat(np.arange(5), PER_CLASS)
    place = np.tile(np.arange(PER_CLASS), 5)
    predicted, among_seen, among_unseen = [], [], []
    for right in checkpoints:
        wrong = place >= np.asarray(right)[labels]
        predicted.append(np.where(wrong, np.where(labels == 0, 1, 0), labels))
        among_seen.append(np.where(np.isin(labels, SEEN), predicted[-1], 0))
        other = np.where(labels == 3, 4, 3)
        among_unseen.append(np.where(wrong | np.isin(labels, SEEN), other, labels))
    return {
        "labels": labels, "seen": SEEN, "unseen": UNSEEN,
        "checkpoints": np.arange(1, len(checkpoints) + 1),
        "predicted": np.stack(predicted), "predicted_seen": np.stack(among_seen),
        "predicted_unseen": np.stack(among_unseen), "scored": np.arange(1, len(checkpoints) + 1),
        "best_seen": np.zeros((len(checkpoints), labels.size)),
        "best_unseen": np.zeros((len(checkpoints), labels.size)),
    }  # fmt: skip


def finish(store, cell, *checkpoints):
    """Commit a record with the metrics that belong to the predictions."""
    lines = []
    for number, right in enumerate(checkpoints, start=1):
        share = 100 * np.asarray(right) / PER_CLASS
        u, s = share[UNSEEN].mean(), share[SEEN].mean()
        lines.append(
            {
                "number": number,
                "metrics": {
                    "acc_unseen": u, "acc_seen": s,
                    "harmonic_mean": 2 * u * s / (u + s) if u + s else 0.0, "zsl_acc": u,
                },
            }
        )  # fmt: skip
    commit(store, cell, {"status": COMPLETE, "checkpoints": lines}, arrays(*checkpoints))


def make_suite(*cells, selection=("last", "best_test")):
    return ResolvedSuite("s", "", tuple(selection), tuple(cells), (), "name: s\n")


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "out")


A = [[8, 8, 8, 6, 2], [9, 7, 8, 6, 3]]
B = [[7, 8, 8, 4, 3], [9, 7, 7, 5, 3]]


def two(store, **options):
    cells = [make_cell("A", seed=s, **options) for s in (0, 1)]
    cells += [make_cell("B", seed=s) for s in (0, 1)]
    for cell, right in zip(cells, [*A, *B], strict=True):
        finish(store, cell, [5, 5, 5, 5, 5], right)
    return make_suite(*cells)


def test_samples_are_the_chosen_checkpoints(store):
    suite = two(store)
    results = Results(suite, store)
    last, best = rows(results)[:2]
    np.testing.assert_allclose(sample(last, results).unseen, [[60, 20], [60, 30]])
    np.testing.assert_allclose(sample(last, results).seen, [[80, 80, 80], [90, 70, 80]])
    # best_test: 8 8 8 6 2 has H 53.3, 5 5 5 5 5 has 50; seed 1: 57.6.
    np.testing.assert_allclose(sample(best, results).unseen, [[60, 20], [60, 30]])
    (row, *_) = rows(Results(make_suite(*suite.cells[2:]), store))
    np.testing.assert_allclose(sample(row, results, [1]).unseen, [[50, 30]])
    assert sample(row, results, [1, 0]).unseen.tolist() == [[50, 30], [40, 30]]


def test_ranks_are_open_among_those_that_are_not_told_apart(store):
    """Two of a kind share the first ranks, one far behind is last, one seed may be anywhere."""
    one, two = [8, 8, 8, 8, 7], [8, 8, 8, 7, 8]
    numbers = {"A": [one, two], "B": [two, one], "C": [[1, 1, 1, 1, 1]] * 2}
    cells = {(who, s): make_cell(who, seed=s) for who in numbers for s in (0, 1)}
    for (who, seed), cell in cells.items():
        finish(store, cell, numbers[who][seed])
    found = table_of(Results(make_suite(*cells.values()), store), "last")
    results = Results(make_suite(*cells.values()), store)
    assert [*open_ranks(found, results).values()] == [(1, 2), (1, 2), (3, 3)]
    lonely = make_cell("D")
    finish(store, lonely, [10, 10, 10, 10, 10])
    more = Results(make_suite(*cells.values(), lonely), store)
    found = table_of(more, "last")
    assert [*open_ranks(found, more).values()] == [(1, 3), (1, 3), (3, 4), (1, 4)]


def test_the_comparison_by_hand(store):
    (found,), reasons = compare(Results(two(store), store), "A", "B", "last")
    assert reasons == []
    assert found.seeds == (0, 1)
    by = {r.metric: r for r in found.results}
    assert by["acc_unseen"].difference == pytest.approx(42.5 - 37.5)
    assert by["acc_seen"].difference == pytest.approx(80 - (230 / 3 + 230 / 3) / 2)
    assert by["acc_unseen"].won == 1
    assert by["acc_unseen"].lost == 1
    assert by["harmonic_mean"].p_classes.units == 5
    assert by["harmonic_mean"].p_seeds.smallest == 0.5
    # Four metrics on one data set: the smallest of four p-values counts four times.
    ordered = sorted(found.results, key=lambda r: r.p_classes.p)
    assert found.tests == 4
    assert found.p_holm[ordered[0].metric] == min(1, 4 * ordered[0].p_classes.p)
    assert found.p_holm.keys() == by.keys()


def test_seeds_are_paired_by_number(store):
    cells = [make_cell("A", seed=s) for s in (0, 1)] + [make_cell("B", seed=s) for s in (1, 0, 7)]
    for cell, right in zip(cells, [*A, B[1], B[0], [0, 0, 0, 0, 0]], strict=True):
        finish(store, cell, right)
    (found,), _ = compare(Results(make_suite(*cells), store), "A", "B", "last")
    assert found.seeds == (0, 1)
    by = {r.metric: r for r in found.results}
    assert by["acc_unseen"].difference == pytest.approx(42.5 - 37.5)


def test_one_stochastic_seed_is_refused(store):
    cells = [make_cell("A"), make_cell("B"), make_cell("B", seed=1)]
    for cell in cells:
        finish(store, cell, A[0])
    with pytest.raises(SuiteError, match="A and B on CUB are stochastic with 1 seed in common"):
        compare(Results(make_suite(*cells), store), "A", "B", "last")
    both = [cells[0], make_cell("C", deterministic=True)]
    finish(store, both[1], B[0])
    with pytest.raises(SuiteError, match="A on CUB is stochastic with 1 seed, which tells nothing"):
        compare(Results(make_suite(*both), store), "A", "C", "last")


def test_a_deterministic_method_stands_for_any_seed(store):
    cells = [make_cell("A", seed=s) for s in (3, 4)]
    cells.append(make_cell("Exact", deterministic=True))
    for cell, right in zip(cells, [*A, B[0]], strict=True):
        finish(store, cell, right)
    (found,), _ = compare(Results(make_suite(*cells), store), "A", "Exact", "last")
    assert found.seeds == (3, 4)
    by = {r.metric: r for r in found.results}
    assert by["acc_unseen"].difference == pytest.approx(42.5 - 35)
    assert by["acc_unseen"].p_seeds is not None


def test_two_deterministic_methods_are_tested_on_classes_alone(store):
    cells = [make_cell(n, deterministic=True) for n in ("X", "Y")]
    finish(store, cells[0], A[0])
    finish(store, cells[1], B[0])
    (found,), _ = compare(Results(make_suite(*cells), store), "X", "Y", "last")
    assert found.seeds == ()
    assert all(r.p_seeds is None for r in found.results)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"fingerprint": "ffff"}, "A and B differ in fingerprint on CUB"),
        ({"features": "phog"}, r"differ in features on CUB \(phog, res101\)"),
    ],
)
def test_different_data_are_not_subtracted(store, changed, sentence):
    suite = two(store, **changed)
    with pytest.raises(SuiteError, match=sentence):
        compare(Results(suite, store), "A", "B", "last")


def test_recipes_with_other_preprocessing_are_compared_and_said(store):
    (found,), _ = compare(Results(two(store, preprocessing="l2"), store), "A", "B", "last")
    assert "preprocessing differs (A l2, B minmax)" in found.remarks[0]


def test_names(store):
    suite = two(store)
    assert method_label("A", suite) == "A"
    assert method_label("a", suite) == "A"
    for arguments, sentence in (
        (("A", "C", "last"), "unknown method of this suite 'C'"),
        (("A", "A", "last"), "with itself"),
        (("A", "B", "val"), "unknown selection rule of this suite 'val'"),
        (("A", "B", "last", ["SUN"]), "unknown data set of this suite 'SUN'"),
    ):
        with pytest.raises(SuiteError, match=sentence):
            compare(Results(suite, store), *arguments)
    more = [make_cell("A1"), make_cell("A2")]
    with pytest.raises(SuiteError, match="'a' stands for several rows: say A1 or A2"):
        method_label("a", make_suite(*more))


def test_one_data_set_that_cannot_be_compared_is_left_out(store):
    suite = two(store)
    lone = [make_cell("A", "SUN"), make_cell("B", "SUN")]
    for cell in lone:
        finish(store, cell, A[0])
    found, reasons = compare(Results(make_suite(*suite.cells, *lone), store), "A", "B", "last")
    assert [c.dataset for c in found] == ["CUB"]
    assert len(reasons) == 1
    assert "SUN are stochastic with 1 seed" in reasons[0]


def test_fragile_order_is_found(store):
    # U: A 40 by 60/20, B 35 by 40/30, S level: without class 3 B leads, 30 against 20.
    cells = [make_cell(n, deterministic=True) for n in ("X", "Y")]
    finish(store, cells[0], [8, 8, 8, 6, 2])
    finish(store, cells[1], [8, 8, 8, 4, 3])
    suite = make_suite(*cells, selection=["last"])
    (found,), _ = compare(Results(suite, store), "X", "Y", "last")
    assert found.fragile == (("3", "unseen", "without"),)
    (sentence,) = fragile_pairs(rows(Results(suite, store)), Results(suite, store))
    assert "CUB, last: X before Y hangs on single classes: without unseen class 3" in sentence


def ranked(store, *datasets, methods=("A", "B")):
    cells = []
    for dataset in datasets:
        for index, label in enumerate(methods):
            cells.append(make_cell(label, dataset, deterministic=True))
            finish(store, cells[-1], [8, 8, 8, 6 - index, 5 - index])
    return make_suite(*cells)


def test_ranks_need_three_data_sets(store):
    found, why = rank(table_of(Results(ranked(store, "CUB", "SUN"), store), "last"))
    assert found is None
    assert "at least 3 data sets on which all 2 methods have numbers, and there are 2" in why
    found, why = rank(table_of(Results(ranked(store, "CUB", "SUN", "AWA1"), store), "last"))
    assert why == ""
    assert found.methods == ("A", "B")
    assert found.powerless


def test_a_data_set_that_one_method_lacks_does_not_count(store):
    suite = ranked(store, "CUB", "SUN", "AWA1")
    found, _ = rank(table_of(Results(make_suite(*suite.cells[:-1]), store), "last"))
    assert found is None


def test_what_has_seen_the_test_set_is_neither_compared_nor_ranked(store, capsys):
    suite = ranked(store, "CUB", "SUN", "AWA1", methods=("A", "B", "C"))
    leaky = [
        make_cell("L", name, deterministic=True, preprocessing="minmax_refit_on_test")
        for name in ("CUB", "SUN", "AWA1")
    ]
    for cell in leaky:
        finish(store, cell, [9, 9, 9, 9, 9])
    suite = remember(store.layout, make_suite(*suite.cells, *leaky, selection=["last"]))
    table = table_of(Results(suite, store), "last")
    found, _ = rank(table)
    assert found.methods == ("A", "B", "C")
    assert not any("L " in sentence for sentence in fragile_pairs(table, Results(suite, store)))
    with pytest.raises(SuiteError, match="L on CUB: preprocessing minmax_refit_on_test has seen"):
        compare(Results(suite, store), "A", "L", "last")
    assert run(["compare", suite.name, "A", "B", "--out", str(store.layout.out)]) == 0
    said = capsys.readouterr()
    assert "| L" not in said.out
    assert said.err.count("left out of the ranking: L on CUB, SUN, AWA1: preprocessing") == 1


def test_a_failed_audit_is_neither_compared_nor_ranked(store):
    suite = ranked(store, "CUB", "SUN", "AWA1", methods=("A", "B", "C"))
    failed = next(cell for cell in suite.cells if cell.label == "C")
    audits = AuditStore(store.layout.out)
    audits.write(failed.key, {"outcome": "failed", "reason": "it learns from what it is shown"})
    with pytest.raises(SuiteError, match="C on CUB: failed the audit"):
        compare(Results(suite, store), "A", "C", "last", ["CUB"])
    # On CUB only two are left, so two data sets remain that all three ran on.
    found, why = rank(table_of(Results(suite, store), "last"))
    assert found is None
    assert "there are 2" in why


def test_a_row_without_numbers_keeps_nobody_else_from_being_compared(store, capsys):
    suite = two(store)
    folds = []
    for cell in suite.cells[::2]:  # A and B have a fold, C's has failed
        described = {**cell.identity, "seed": 0, "task": {"fold": 1, "content": "x"}}
        folds.append(replace(cell, key=digest(described), identity=described))
        finish(store, folds[-1], [5, 5, 5, 5, 5], [6, 6, 6, 6, 6])
    third = make_cell("C", deterministic=True)
    finish(store, third, [5, 5, 5, 5, 5], A[0])
    suite = remember(
        store.layout, make_suite(*suite.cells, *folds, third, selection=["val", "last"])
    )
    assert run(["compare", suite.name, "A", "B", "--out", str(store.layout.out)]) == 0
    said = capsys.readouterr()
    assert "| CUB" in said.out
    assert "left out of the ranking: C on CUB: nothing is known of validation folds" in said.err
    assert run(["compare", suite.name, "A", "C", "--out", str(store.layout.out)]) == 2
    said = capsys.readouterr()
    assert "val of C on CUB: nothing is known of validation folds" in said.err


# Intervals in tables -----------------------------------------------------------------------------


def test_intervals_in_every_format(store):
    suite = two(store)
    table = rows(Results(make_suite(*suite.cells, selection=["last"]), store))
    more = with_intervals(table, Results(suite, store))
    low, high = intervals(sample(table[0], Results(suite, store)))["harmonic_mean"]
    assert (more[0].summary().low, more[0].summary().high) == (low, high)
    assert low < more[0].summary().mean < high
    assert table[0].summary().to_json().keys() == {"mean", "sd", "n"}
    text = render(more)
    assert f"[{low:.1f}, {high:.1f}]" in text
    assert "95 % interval over seeds and classes" in text
    assert "interval" not in render(table)
    line = next(csv.DictReader(io.StringIO(render(more, "csv"))))
    assert float(line["harmonic_mean_low"]) == low
    assert json.loads(render(more, "json"))[0]["acc_seen"]["high"] <= 100


def test_rows_without_numbers_get_neither_intervals_nor_rivals(store):
    suite = two(store)
    refused = make_cell("C", seed=0)
    commit(store, refused, {"status": NOT_APPLICABLE, "cause": "its attributes are not binary"})
    # No cell of a fold is known, so `val` has no numbers either.
    suite = make_suite(*suite.cells, refused, selection=["last", "val"])
    table = with_intervals(rows(Results(suite, store)), Results(suite, store))
    assert {r.label for r in table if r.unavailable} == {"A", "B", "C"}
    assert all("last" in sentence for sentence in fragile_pairs(table, Results(suite, store)))
    assert "C on CUB: not applicable: its attributes are not binary." in render(table)
    found, why = rank([row for row in table if row.selection != "val"])
    assert found is None
    assert "needs at least 3 data sets" in why


# The command -------------------------------------------------------------------------------------


def test_the_command(store, capsys):
    suite = remember(store.layout, two(store))
    out = str(store.layout.out)
    assert run(["compare", suite.name, "A", "B", "--out", out]) == 0
    said = capsys.readouterr().out
    assert "| CUB" in said
    assert "with 2 seeds p (seeds) cannot be below 0.5" in said
    assert "no ranking over data sets" in said
    assert run(["compare", suite.name, "A", "B", "--out", out, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["comparisons"][0]["results"][0]["metric"] == "acc_unseen"
    assert run(["compare", suite.name, "A", "B", "--out", out, "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["metric"] for line in lines][2] == "harmonic_mean"
    assert run(["compare", suite.name, "--out", out]) == 0
    assert "no ranking" in capsys.readouterr().out
    assert run(["compare", suite.name, "--dataset", "SUM", "--out", out]) == 2
    assert "unknown data set of this suite 'SUM'" in capsys.readouterr().err
    assert run(["table", suite.name, "--intervals", "--out", out]) == 0
    assert "[" in capsys.readouterr().out
    for arguments in (["A"], ["A", "C"], ["A", "B", "--rule", "val"], ["A", "B", "C"]):
        assert run(["compare", suite.name, *arguments, "--out", out]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
    # A calibrated rule may be named as tables write it.
    assert (
        run(
            [
                "compare",
                suite.name,
                "A",
                "B",
                "--rule",
                "last+\N{GREEK SMALL LETTER GAMMA}",
                "--out",
                out,
            ]
        )
        == 2
    )
    assert "'last+gamma'" in capsys.readouterr().err


def test_refusing_gives_exit_code_2_and_one_sentence(store, capsys):
    cells = [make_cell("A"), make_cell("B")]
    for cell in cells:
        finish(store, cell, A[0])
    suite = remember(store.layout, make_suite(*cells))
    assert run(["compare", suite.name, "A", "B", "--out", str(store.layout.out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("gzsl-bench: A and B on CUB are stochastic with 1 seed")


# One set of images has one vote -------------------------------------------------------------------


def told(suite, **images):
    """The suite with what loaders say of each variant: the same word is the same images."""
    known = {}
    for cell in suite.cells:
        word = images.get(cell.dataset, cell.dataset)
        known[cell.identity["dataset"]["fingerprint"]] = {
            "label": cell.dataset,
            "features": cell.identity["dataset"]["features"],
            "attributes": "att",
            "fingerprint": cell.identity["dataset"]["fingerprint"],
            "provenance": {
                "digests": {"labels": word, "features": cell.dataset},
                "split_hashes": dict.fromkeys(("trainval", "test_seen", "test_unseen"), word),
            },
        }
    return replace(suite, datasets=tuple(known.values()))


def placed(store, numbers):
    """Deterministic methods A and B whose U is what ``numbers`` say, by data set."""
    cells = []
    for dataset, pair in numbers.items():
        for label, right in zip("AB", pair, strict=True):
            cells.append(make_cell(label, dataset, deterministic=True))
            finish(store, cells[-1], [8, 8, 8, right, right])
    return make_suite(*cells, selection=["last"])


def test_two_labels_of_one_data_set_have_one_vote(store):
    """CUB twice and AWA1 are two data sets, not three."""
    suite = ranked(store, "CUB", "AWA1")
    again = [replace(cell, dataset="CUB again") for cell in suite.cells if cell.dataset == "CUB"]
    table = table_of(Results(make_suite(*suite.cells, *again, selection=["last"]), store), "last")
    found, why = rank(table)
    assert found is None
    assert "at least 3 data sets on which all 2 methods have numbers, and there are 2" in why
    assert "CUB (res101, att, float32) and CUB again (res101, att, float32) hold the same" in why


def test_feature_sets_of_the_same_images_have_one_vote_by_their_mean(store):
    # B leads by the mean over both variants of CUB: (6 + 2) / 2 against (4 + 5) / 2 right rows.
    suite = placed(store, {"CUB": (6, 4), "CUB cnn": (2, 5), "SUN": (5, 4), "AWA1": (7, 4)})
    found, once = rank(table_of(Results(suite, store), "last"))
    assert (found.datasets, found.ranks, once) == (4, (1.25, 1.75), "")
    shared = told(suite, **{"CUB cnn": "CUB"})
    found, once = rank(table_of(Results(shared, store), "last"))
    assert found.datasets == 3
    # Ranks of A: 2, 1, 1; of B: 1, 2, 2.
    assert dict(zip(found.methods, found.ranks, strict=True)) == {
        "A": pytest.approx(4 / 3), "B": pytest.approx(5 / 3),
    }  # fmt: skip
    # Demsar: q(2) sqrt(2 * 3 / (6 * 3)) = 1.96 / sqrt(3).
    assert found.critical_difference == pytest.approx(1.95996 / np.sqrt(3), abs=1e-4)
    assert once == (
        "CUB (res101, att, float32) and CUB cnn (res101, att, float32) hold the same images and"
        " have one vote"
    )
    # A variant that one method lacks is left out of the mean: CUB alone counts.
    lacking = make_suite(*(c for c in suite.cells if (c.dataset, c.label) != ("CUB cnn", "B")),
                         selection=["last"])  # fmt: skip
    found, _ = rank(table_of(Results(told(lacking, **{"CUB cnn": "CUB"}), store), "last"))
    assert dict(zip(found.methods, found.ranks, strict=True)) == {"A": 1.0, "B": 2.0}


def test_p_values_are_corrected_for_all_metrics_and_data_sets_once_each(store, capsys):
    suite = ranked(store, "CUB", "SUN")
    again = [replace(cell, dataset="CUB again") for cell in suite.cells if cell.dataset == "CUB"]
    whole = make_suite(*suite.cells, *again, selection=["last"])
    found, _ = compare(Results(whole, store), "A", "B", "last")
    assert [c.dataset for c in found] == ["CUB", "SUN", "CUB again"]
    # Four metrics on two data sets: the third comparison is the first one again.
    assert {c.tests for c in found} == {8}
    assert found[0].p_holm == found[2].p_holm
    alone, _ = compare(Results(suite, store), "A", "B", "last")
    assert [c.p_holm for c in alone] == [c.p_holm for c in found[:2]]
    suite = remember(store.layout, whole)
    assert run(["compare", suite.name, "A", "B", "--out", str(store.layout.out)]) == 0
    said = capsys.readouterr().out
    assert "corrected for the 8 tests of this table" in said
    assert "| By last |" in said


def test_the_honest_rule_is_the_default_everywhere(store, capsys):
    suite = two(store)
    suite = remember(
        store.layout, make_suite(*suite.cells, selection=["best_test", "last"])
    )  # fmt: skip
    assert run(["compare", suite.name, "A", "B", "--out", str(store.layout.out),
                "--format", "json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["selection"] == "last"


def test_a_comparison_fits_a_terminal_of_80_columns(store):
    suite = two(store)
    results = Results(suite, store)
    found, _ = compare(results, "A", "B", "last")
    ranks, why = rank(table_of(results, "last"))
    text = as_text(found, ranks, why, "last", 80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    head = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    assert head[:6] == ["Data set", "By last", "A", "B", "Difference", "95 % interval"]
    assert "p (Holm)" in head
    assert "dz" not in head
    # Classes have numbers here, which is said once.
    assert text.count("its files name no classes") == bool(found[0].fragile)
    # What is missing is said; what is narrower is broken between words alone.
    whole = as_text(found, ranks, why, "last")
    notes, mark, left_out = text.split("\n\n")[1].partition("Left out to fit 80 columns:")
    assert notes.split() == whole.split("\n\n")[1].split()
    assert left_out.split()[0] == "dz,"
    # Names too long for one line are broken; the corrected p-value stays.
    long = [replace(found[0], a="a method of a very long name", b="another one of a long name")]
    head = as_text(long, ranks, why, "last", 80).partition("|-")[0]
    assert "p (Holm)" in " ".join(head.split())
    assert "| dz" in whole


# The printed order --------------------------------------------------------------------------------


def test_the_printed_order_beside_ours(store, capsys, monkeypatch):
    right = {"A": 8, "B": 6, "C": 4, "D": 2, "E": 1}
    cells = [make_cell(label, deterministic=label != "E") for label in right]
    for cell in cells:
        finish(store, cell, [8, 8, 8, right[cell.label], right[cell.label]])
    suite = remember(store.layout, make_suite(*cells, selection=["last"]))
    printed = [
        Entry("t", name, "CUB", {"H": f"{h}"}, "gzsl", "quoted", "a paper")
        for name, h in (("A", 60.0), ("B", 50.0), ("C", 40.0), ("D", 45.0), ("E", 30.0))
    ]
    other = [replace(entry, table="u", dataset="SUN") for entry in printed]
    few = [replace(entry, table="v") for entry in printed[:3]]
    monkeypatch.setattr(orders, "entries", lambda: [*other, *few, *printed])
    monkeypatch.setattr(orders, "published_names", lambda cell: [cell.label])
    remark = "contradiction; swapped?; not comparable"
    monkeypatch.setattr(
        orders,
        "status",
        lambda entry: (
            "contradiction; swapped?; not comparable: really" if entry.method == "D" else "ok"
        ),
    )
    (found,) = orders.orders(Results(suite, store), "last")
    assert [(s.label, s.their_rank, s.our_rank) for s in found.standings] == [
        ("A", 1, 1), ("B", 2, 2), ("D", 3, 4), ("C", 4, 3), ("E", 5, 5),
    ]  # fmt: skip
    assert found.spearman[0] == pytest.approx(0.9)  # 1 - 6 (1 + 1) / (5 (25 - 1))
    assert found.sound[0] == pytest.approx(1.0)
    verdicts = {(p.ahead, p.behind): p.verdict for p in found.pairs}
    assert verdicts["A", "B"] == "holds"
    assert verdicts["D", "C"] == "contradicted"
    assert verdicts["A", "E"] == "not tested"  # one seed of a stochastic method
    assert [found.count(v) for v in ("holds", "contradicted", "not tested")] == [5, 1, 4]
    out = str(store.layout.out)
    assert run(["published", "orders", suite.name, "--out", out]) == 0
    said = capsys.readouterr().out
    assert f"| D      | 45.0      | 3    | 32.0   | 4    | {remark} |" in said
    assert "+0.90" in said
    narrow = orders.as_text(found, 80)
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, said.splitlines()))
    assert narrow.splitlines()[5].split() == [*"||||||", "comparable", "|"]
    assert run(["published", "orders", suite.name, "--out", out, "--format", "json"]) == 0
    (plain,) = json.loads(capsys.readouterr().out)
    assert plain["pairs"][0]["verdict"] == "holds"
    # What the suite has cut down is no longer the printed method, but for the parts of its name.
    text = "methods: [{use: x, label: C, config: {epochs: 2, part: 1}}, {use: y, label: A}]"
    monkeypatch.setattr(orders, "parts", lambda published: {"part"})
    (cut,) = orders.orders(Results(replace(suite, text=text), store), "last")
    assert [(s.label, s.settings) for s in cut.standings if s.settings] == [("C", "epochs 2")]
    said = orders.as_text(cut)
    assert [line[:3] for line in said.splitlines() if "| own settings" in line] == ["| C"]
    assert "Own settings: C (epochs 2)." in said
    assert cut.sound is None  # three are left
    # Where all have the same H there is no order, and no number that is none.
    level = [replace(entry, printed={"H": "50.0"}) for entry in printed]
    monkeypatch.setattr(orders, "entries", lambda: level)
    assert run(["published", "orders", suite.name, "--out", out]) == 0
    assert "correlation cannot be given over 5 methods" in capsys.readouterr().out
    assert run(["published", "orders", suite.name, "--out", out, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["spearman"] is None
    monkeypatch.setattr(orders, "entries", lambda: few)
    assert run(["published", "orders", suite.name, "--out", out]) == 0
    assert "no printed table has four or more methods" in capsys.readouterr().err


def test_where_interval_and_p_disagree_a_lead_is_not_sure(store):
    """Far apart on every class: the interval has no width, five classes allow p 2 / 2^5."""
    cells = [make_cell(label, deterministic=True) for label in "AB"]
    finish(store, cells[0], [9] * 5)
    finish(store, cells[1], [3] * 5)
    results = Results(make_suite(*cells), store)
    best, second = table_of(results, "last")
    sure, words, _ = standing(best, second, "B", results)
    assert not sure
    assert words == "+60.0 [+60.0, +60.0] over B, yet p (classes) is 0.062"
    found, _ = against_best(results, "last")
    text = as_text(found, None, "", "last")
    assert "| interval alone |" in text
    assert "Interval and p (Holm) disagree: CUB H A - B." in text
