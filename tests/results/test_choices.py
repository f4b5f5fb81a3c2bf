"""What validation folds choose, and how well they support it: hand-made records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from records_factory import commit, make_cell

from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.answer import answer
from gzsl_bench.report.html.page import build
from gzsl_bench.report.table import render
from gzsl_bench.report.verdicts import verdicts
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import Support
from gzsl_bench.suite.cells import Cell, digest
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.tracking.describe import describe
from gzsl_bench.tracking.front import description

#: Two seen and two unseen classes, two rows each.
LABELS = np.repeat(np.arange(4), 2)
SEEN, UNSEEN = np.arange(2), np.arange(2, 4)


def fold_of(cell: Cell, number: int) -> Cell:
    described = {**cell.identity, "seed": 0, "task": {"fold": number, "content": "x"}}
    return replace(cell, key=digest(described), identity=described, seed=0)


def finish(store: RecordStore, cell: Cell, *checkpoints: tuple[float, float, float]) -> None:
    """A record; of each checkpoint ``(share right within its side, lead of seen rows, of unseen)``.

    A row is called seen where its seen score leads by more than 0.
    """
    lines, kept = (
        [],
        {"predicted": [], "predicted_seen": [], "predicted_unseen": [], "best_seen": []},
    )
    for number, (right, of_seen, of_unseen) in enumerate(checkpoints, start=1):
        wrong = np.tile([0, 1], 4) >= 2 * right
        own = np.where(wrong, LABELS ^ 1, LABELS)
        seen, unseen = own % 2, own % 2 + 2
        lead = np.where(LABELS < 2, of_seen, of_unseen)
        predicted = np.where(lead > 0, seen, unseen)
        share = [100 * np.mean((predicted == LABELS)[part == LABELS // 2]) for part in (1, 0)]
        both = sum(share)
        h = 2 * share[0] * share[1] / both if both else 0.0
        lines.append(
            {"number": number, "metrics": {"acc_unseen": share[0], "acc_seen": share[1],
                                           "harmonic_mean": h, "zsl_acc": 100 * right}}
        )  # fmt: skip
        for name, values in (("predicted", predicted), ("predicted_seen", seen),
                             ("predicted_unseen", unseen), ("best_seen", lead)):  # fmt: skip
            kept[name].append(values)
    numbers = np.arange(1, len(checkpoints) + 1)
    arrays = {name: np.stack(found) for name, found in kept.items()}
    arrays["best_seen"] = arrays["best_seen"].astype(np.float32)
    arrays |= {"labels": LABELS, "seen": SEEN, "unseen": UNSEEN, "checkpoints": numbers,
               "scored": numbers, "best_unseen": np.zeros_like(arrays["best_seen"])}  # fmt: skip
    commit(store, cell, {"checkpoints": lines}, arrays)


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "out")


def suite_of(store, folds, real, calibration=True, selection=("last", "val")) -> Results:
    cell = make_cell()
    cells = [fold_of(cell, number) for number in range(1, len(folds) + 1)]
    finish(store, cell, *real)
    for one, checkpoints in zip(cells, folds, strict=True):
        finish(store, one, *checkpoints)
    suite = ResolvedSuite(
        "s", "", selection, (cell, *cells), (), "name: s\n", calibration=calibration
    )
    return Results(suite, store)


#: Half of the rows are right and nobody is biased; then all are right within their side, and unseen
#: rows are called seen ones as long as nothing is taken off: by more than 3, by less than 5.
EVEN, BIASED, HOPELESS = (0.5, 1.0, -1.0), (1.0, 5.0, 3.0), (0.0, 5.0, 3.0)


def test_checkpoint_and_gamma_are_chosen_together(store):
    results = suite_of(store, [(EVEN, BIASED, EVEN)] * 2, (EVEN, BIASED, EVEN))
    table = {row.selection: row for row in rows(results)}
    # Plain H on the folds: 50, 0, 50: of equals the last one.
    assert table["val"].checkpoints == ((3,),)
    assert table["val"].support == Support(candidates=3, tied=2, folds=2, turned=0)
    # With a bias of 4 the second checkpoint is right everywhere.
    assert table["val+gamma"].checkpoints == ((2,),)
    assert table["val+gamma"].gamma == (4.0,)
    assert table["val+gamma"].summary().mean == 100.0
    assert table["val+gamma"].support == Support(candidates=3, tied=1, folds=2, turned=0)
    # ``last`` asks the folds for its bias alone.
    assert table["last+gamma"].checkpoints == ((3,),)
    assert table["last+gamma"].support is None


def test_how_often_one_fold_decides(store):
    """Plain H: 50 and 0 in two folds, 0 and 50 in the third; the mean is 33.3 and 16.7."""
    results = suite_of(store, [(EVEN, BIASED)] * 2 + [(BIASED, EVEN)], (EVEN, EVEN))
    table = {row.selection: row for row in rows(results)}
    assert table["val"].checkpoints == ((1,),)
    # Without the first or the second fold both have 25, and the last one would count.
    assert table["val"].support == Support(candidates=2, tied=1, folds=3, turned=2)
    # With one bias for all of a checkpoint's folds: 4 gives 0, 0 and 100, and 0 gives 50, 50 and 0.
    assert table["val+gamma"].support.folds == 3
    text = render(list(table.values()))
    assert "With one fold missing val would have chosen another checkpoint: M on D 2 of 3" in text
    assert "\N{ALMOST EQUAL TO}" not in text


def test_a_tie_goes_to_the_last_checkpoint_and_is_marked_everywhere(store, tmp_path):
    """Every fold has H 0 at every checkpoint: nothing was chosen."""
    results = suite_of(store, [(HOPELESS,) * 3] * 2, (BIASED, BIASED, EVEN))
    table = {row.selection: row for row in rows(results)}
    for rule in ("val", "val+gamma"):
        assert table[rule].checkpoints == ((3,),)
        assert table[rule].support == Support(candidates=3, tied=3, folds=2, turned=0)
    assert table["val"].summary().mean == table["last"].summary().mean == 50.0
    text = render(list(table.values()))
    assert "| val \N{ALMOST EQUAL TO} " in text
    assert (
        "val \N{ALMOST EQUAL TO}: folds do not tell checkpoints apart, so the last of the best"
        " counts: M on D (3 of 3)." in text
    )
    assert "val $\\approx$" in render(list(table.values()), "latex")
    page = build(results, tmp_path / "page").path.read_text(encoding="utf-8")
    assert "Folds do not tell checkpoints apart: 3 are level, and the last of them counts" in page
    # The terminal, the report and MLflow say the same of who leads, calibrated or not.
    (card,) = verdicts(rows(results), results, "val")
    assert card.calibrated.startswith("with calibrated scores (val+gamma) M leads, too: H ")
    everywhere = [answer(rows(results), results, "val"), description(results.suite, [card])]
    for remark in card.remarks:
        assert all(remark in text for text in everywhere)
        assert remark[0].upper() + remark[1:] in page
    for text in (*everywhere, page):
        assert "made of training classes, so the test set had no say" in text
    cell = results.suite.cells[0]
    image = describe(results, [cell], store.read(cell.key))
    assert image.tags["gzsl_bench.choice"] == "folds do not tell checkpoints apart"
    assert "(checkpoint 3; folds do not tell" in image.tags["mlflow.note.content"]


def test_the_honest_rule_is_mlflows_headline(store):
    results = suite_of(store, [(EVEN, BIASED)], (EVEN, BIASED), False, ("best_test", "last", "val"))
    cell = results.suite.cells[0]
    image = describe(results, [cell], store.read(cell.key))
    shown = image.latest()
    assert image.tags["gzsl_bench.rule"] == "val"
    assert shown["H"] == 50.0
    assert shown["last/H"] == 0.0
    assert "gzsl_bench.choice" not in image.tags


@pytest.mark.parametrize(("share", "said"), [(94.99, False), (95.0, True), (100.0, True)])
@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("unseen_as_seen", "of the test images of unseen classes are called seen classes: M on D"),
        ("seen_as_unseen", "of the test images of seen classes are called unseen classes: M on D"),
    ],
)
def test_a_method_that_knows_one_side_alone_is_remarked_on(store, metric, sentence, share, said):
    cell = make_cell()
    metrics = {"harmonic_mean": 1.0, metric: share}
    commit(store, cell, {"checkpoints": [{"number": 1, "metrics": metrics}]})
    results = Results(ResolvedSuite("s", "", ("last",), (cell,), (), "name: s\n"), store)
    text = render(rows(results))
    assert (f"95 % or more {sentence} ({share:.1f} %) by last." in text) == said
