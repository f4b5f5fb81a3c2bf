"""What a run ends with: the matrix, who is best and how surely, by records made by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from records_factory import commit, make_cell

from gzsl_bench.cli.main import run
from gzsl_bench.records.record import FAILED
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import remember
from gzsl_bench.report.answer import answer
from gzsl_bench.report.compare import against_best, compare
from gzsl_bench.report.table import render
from gzsl_bench.report.verdicts import verdicts
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.suite.resolved import ResolvedSuite

#: Three seen classes and three unseen ones, ten rows each.
LABELS, PLACE = np.repeat(np.arange(6), 10), np.tile(np.arange(10), 6)


def finish(store, cell, *checkpoints):
    """A record: of each checkpoint so many rows of every class are right."""
    lines, kept = [], []
    for number, right in enumerate(checkpoints, start=1):
        wrong = np.asarray(right)[LABELS] <= PLACE
        other = (LABELS + 1) % 3 + 3 * (LABELS >= 3)
        kept.append(np.where(wrong, other, LABELS))
        u, s = 10 * np.mean(right[3:]), 10 * np.mean(right[:3])
        metrics = {"acc_unseen": u, "acc_seen": s, "harmonic_mean": 2 * u * s / (u + s)}
        lines.append({"number": number, "metrics": metrics})
    predicted, zero = np.stack(kept), np.zeros((len(kept), 60), np.float32)
    numbers = np.arange(1, len(kept) + 1)
    arrays = {
        "labels": LABELS, "seen": np.arange(3), "unseen": np.arange(3, 6),
        "checkpoints": numbers, "scored": numbers, "predicted": predicted,
        "predicted_seen": predicted % 3, "predicted_unseen": predicted % 3 + 3,
        "best_seen": zero, "best_unseen": zero,
    }  # fmt: skip
    commit(store, cell, {"checkpoints": lines}, arrays)


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "out")


def suite_of(store):
    """A is far ahead on D, B a little on E, where A has one seed; C failed and is alone on F."""
    cells = []

    def add(label, dataset, seed, *checkpoints):
        cells.append(make_cell(seed, label, dataset))
        finish(store, cells[-1], *checkpoints)

    for seed in (0, 1):
        add("A", "D", seed, [9, 9, 9 - seed, 8, 8, 8], [8, 8, 8, 8, 8, 8 - seed])
        add("B", "D", seed, [9, 9, 9, 9, 9, 9], [3, 3, 3, 3, 3, 2])
        add("B", "E", seed, [1, 1, 1, 1, 1, 1], [6, 6, 6, 6, 6, 6])
    add("A", "E", 0, [1, 1, 1, 1, 1, 1], [5, 5, 5, 5, 5, 5])
    for dataset in ("D", "E"):
        cells.append(make_cell(0, "C", dataset))
        commit(store, cells[-1], {"status": FAILED, "cause": "ValueError: no"})
    add("C", "F", 0, [2, 2, 2, 2, 2, 2])
    return ResolvedSuite("s", "", ("best_test", "last"), tuple(cells), (), "name: s\n")


def test_the_answer_by_hand(store):
    suite = suite_of(store)
    results = Results(suite, store)
    text = answer(rows(results), results, suite.lead)
    matrix, said = text.split("\n\n")
    body = [[cell.strip() for cell in line.split("|")[1:-1]] for line in matrix.splitlines()]
    # A on D by the last checkpoint: U 80 and 76.7, S 80; H 80 and 78.3. B: U 26.7, S 30; H 28.2;
    # it leads by best_test.
    h = [80.0, 2 * 80 * (230 / 3) / (80 + 230 / 3)]
    assert f"{np.mean(h):.1f} ± {np.std(h, ddof=1):.1f}" == "79.1 ± 1.2"
    assert body[0] == ["H by last", "D", "E", "F"]
    assert body[2:] == [
        ["A", "**79.1** ± 1.2", "*50.0*", "-"],
        ["B", "*28.2* ± 0.0", "**60.0** ± 0.0", "-"],
        ["C", "failed", "failed", "20.0"],
    ]
    lines = said.splitlines()
    ((found,), _) = compare(results, "A", "B", "last", ["D"])
    by = next(r for r in found.results if r.metric == "harmonic_mean")
    assert re.fullmatch(
        r"best on D: A, H 79\.1 ± 1\.2, 95 % interval \[\d+\.\d, \d+\.\d\]; lead (not )?estab"
        rf"lished: \+50\.9 \[\+{by.low:.1f}, \+{by.high:.1f}\] over B \(28\.2\)(, yet .*)?\.",
        lines[0],
    )
    assert lines[1] == "  1 of 3 methods has no numbers here: C (failed)."
    # A's single seed tells nothing from luck.
    assert re.match(
        r"best on E: B, H 60\.0 ± 0\.0, 95 % interval .*; lead not tested: \+10\.0 over A"
        r" \(50\.0\); B and A on E are stochastic with 1 seed in common",
        lines[2],
    )
    assert lines[4].startswith("best on F: C, H 20.0, 95 % interval")
    assert lines[4].endswith("; the only method with numbers here.")
    assert lines[5] == "  2 of 3 methods have no numbers here: A, B (left out by the suite)."
    assert lines[6].startswith("H by last (last checkpoint, nothing was chosen, so the test set")
    assert "; mean ± sd over seeds, in brackets 95 % intervals over seeds and classes" in lines[6]
    assert lines[7:] == [
        "C on D, E: failed: ValueError: no.",
        "A, B on F: left out: the suite does not run it on this data set.",
    ]


def test_it_fits_a_terminal(store):
    suite = suite_of(store)
    results = Results(suite, store)
    text = answer(rows(results), results, "last", 60, True)
    plain = re.sub("\x1b.*?m", "", text)
    assert max(map(len, plain.splitlines())) <= 60
    assert "\x1b[1m79.1\x1b[0m ± 1.2" in text
    assert "**" not in text
    # Nothing is broken within a word.
    whole = " ".join(plain.split("\n\n")[1].split())
    assert re.search(r"established: \+50\.9 \[\S+, \S+\] over B \(28\.2\)", whole)
    # Nor within an interval, or between a number and its deviation.
    assert not re.search(r"\[\S+,$|[\d±]$\n *[±%\d]", plain.split("\n\n")[1], re.M)
    assert "\x1b" not in answer(rows(results), results, "last", 60)


def test_a_level_lead_is_not_called_one(store):
    cells = []
    for label, shift in (("A", 0), ("B", 1)):
        for seed in (0, 1, 2):
            cells.append(make_cell(seed, label))
            right = [6, 6, 6, 6 + shift * (seed - 1), 6, 6 - shift]
            finish(store, cells[-1], right)
    suite = ResolvedSuite("s", "", ("last",), tuple(cells), (), "name: s\n")
    results = Results(suite, store)
    assert "; lead not established: +" in answer(rows(results), results, "last")


def test_a_lead_is_one_over_everybody(store):
    """B is a little behind A on every class; C further, by so much on two that chance may do it."""
    cells = []
    for label, right in (("A", [9, 9, 9, 8, 8, 8]), ("B", [8, 8, 8, 7, 7, 7]),
                         ("C", [10, 10, 2, 10, 10, 1])):  # fmt: skip
        for seed in (0, 1):
            cells.append(make_cell(seed, label))
            finish(store, cells[-1], right)
    results = Results(ResolvedSuite("s", "", ("last",), tuple(cells), (), "name: s\n"), store)
    (card,) = verdicts(rows(results), results, "last")
    assert re.fullmatch(r"\+10\.0 \[\+\S+, \+\S+\] over B \(74\.7\), yet not over C", card.against)
    assert (card.lead, card.clear) == ("lead not established", False)
    pair = replace(results.suite, cells=tuple(cells[:4]))
    (card,) = verdicts(rows(Results(pair, store)), Results(pair, store), "last")
    assert (card.lead, card.clear) == ("lead established", True)


def test_every_table_ends_with_the_answer(store, capsys):
    suite = remember(store.layout, suite_of(store))
    results = Results(suite, store)
    said = answer(rows(results), results, "last").splitlines()
    wanted = said[next(i for i, line in enumerate(said) if line.startswith("best on ")) :][:6]
    assert sum(line.startswith("best on ") for line in wanted) == 3

    def printed(*arguments):
        assert run(["table", "s", "--out", str(store.layout.out), *arguments]) == 0
        return " ".join(capsys.readouterr().out.split())

    for layout in ("long", "wide"):
        text = printed("--layout", layout)
        head = "By last, the rule to believe (last checkpoint, nothing was chosen, so the test"
        assert head in text
        assert text.endswith(" ".join(" ".join(wanted).split()))
    optimistic = printed("--rule", "best_test")
    assert "By best_test, while last is the rule to believe" in optimistic
    assert "best on D: B" in optimistic
    # Of some methods alone nobody is the best.
    assert "best on" not in printed("--method", "A")


def test_a_terminal_shows_the_best_and_the_rule_to_believe(store):
    table = rows(Results(suite_of(store), store))
    text = render(table, metrics=["harmonic_mean"], lead="last")
    bold, under = "\x1b[1m{}\x1b[0m".format, "\x1b[4m{}\x1b[0m".format
    line = next(line for line in text.splitlines() if "| A " in line and bold("last") in line)
    assert bold("79.1 ± 1.2") in line
    assert under("28.2 ± 0.0") in text
    assert bold("best_test") not in text
    assert "\x1b" not in render(table, metrics=["harmonic_mean"])


def test_without_names_everybody_is_set_against_the_best(store, capsys):
    suite = remember(store.layout, suite_of(store))
    results = Results(suite, store)
    (found,), reasons = against_best(results, "last")
    ((both,), _) = compare(results, "A", "B", "last", ["D"])
    (h,) = found.results
    assert (found.dataset, found.a, found.b) == ("D", "A", "B")
    assert h == next(r for r in both.results if r.metric == "harmonic_mean")
    # One test: nothing to correct.
    assert (found.tests, found.p_holm) == (1, {"harmonic_mean": h.p_classes.p})
    assert len(reasons) == 1
    assert "B and A on E are stochastic with 1 seed" in reasons[0]
    assert run(["compare", "s", "--out", str(store.layout.out)]) == 0
    said = capsys.readouterr()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in said.out.splitlines()[:4]]
    assert cells[0] == ["Data set", "Method", "H by last", "Behind the best", "p (Holm)",
                        "Told apart"]  # fmt: skip
    assert cells[2][:4] == ["D", "A", "79.1", "the best"]
    assert cells[3][:3] == ["D", "B", "28.2"]
    # Six classes cannot give a small p-value, however far apart the two are: that is explained.
    assert cells[3][5] == ("yes" if h.p_classes.p < 0.05 else "interval alone")
    assert ("Interval and p (Holm) disagree: D H A - B." in said.out) == (h.p_classes.p >= 0.05)
    assert "left out: B and A on E" in said.err
