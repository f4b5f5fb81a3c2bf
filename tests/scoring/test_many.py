"""All checkpoints at once: the numbers that each of them has by itself, or none."""

from __future__ import annotations

import numpy as np
import pytest

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.errors import RecordError
from gzsl_bench.scoring import many
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import fitting, kept_predictions

METRICS = {spec.name: spec for spec in gzsl_bench_metrics()}


def drawn(seed, rows=60, checkpoints=7, scored=True):
    """Predictions with ties among scores, classes without rows, and numbers in any order."""
    rng = np.random.default_rng(seed)
    seen, unseen = np.array([3, 0, 7, 9]), np.array([1, 8, 4])
    labels = rng.permutation(np.r_[3, 1, rng.choice([3, 0, 7, 8, 1], rows - 2)])  # no 9, no 4
    shape = checkpoints, rows
    old, new = rng.choice(seen, shape), rng.choice(unseen, shape)
    old, new = (np.where(rng.random(shape) < 0.4, labels, each) for each in (old, new))
    old, new = np.where(np.isin(old, seen), old, 3), np.where(np.isin(new, unseen), new, 8)
    best_seen, best_unseen = (np.float32(rng.integers(0, 6, shape) / 4) for _ in range(2))
    numbers = rng.permutation(checkpoints) + 1
    return {
        "labels": labels, "seen": seen, "unseen": unseen, "checkpoints": numbers,
        "scored": numbers if scored else numbers[:0],
        "predicted": np.where(best_seen > best_unseen, old, new),
        "predicted_seen": old, "predicted_unseen": new,
        "best_seen": best_seen if scored else best_seen[:0],
        "best_unseen": best_unseen if scored else best_unseen[:0],
    }  # fmt: skip


@pytest.mark.parametrize("scored", [True, False])
def test_each_checkpoint_has_the_numbers_it_has_by_itself(monkeypatch, scored):
    monkeypatch.setattr(many, "_BLOCK", 150)  # two checkpoints at a time
    for seed in range(20):
        arrays = drawn(seed, scored=scored)
        found = many.usual(fitting(arrays))
        for place, number in enumerate(arrays["checkpoints"].tolist()):
            alone = evaluate(kept_predictions(arrays, number), METRICS)
            together = {name: values[place] for name, values in found.items()}
            assert together == pytest.approx(alone, rel=1e-12, abs=1e-12)
            assert ("ausuc" in together) is scored


def test_areas_are_the_same_on_every_processor(monkeypatch):
    """Among equal scores numpy's other sorts leave an order that its vector instructions decide."""
    kept = [fitting(drawn(seed, rows=400)) for seed in range(5)]
    found = [many.usual(arrays)["ausuc"].tolist() for arrays in kept]
    sort = np.argsort
    monkeypatch.setattr(np, "argsort", lambda a, axis=-1, kind=None: sort(a, axis, kind="stable"))
    assert found == [many.usual(arrays)["ausuc"].tolist() for arrays in kept]


def test_a_method_that_is_never_right_has_zeros():
    arrays = drawn(0)
    labels = arrays["labels"]
    arrays["predicted"] = np.broadcast_to(np.where(labels == 3, 1, 3), arrays["predicted"].shape)
    found = many.usual(fitting(arrays))
    assert not found["harmonic_mean"].any()
    assert np.isfinite(np.concatenate([*found.values()])).all()


def test_a_class_named_twice_is_left_to_the_formulas_of_one_checkpoint():
    arrays = drawn(0)
    arrays["seen"] = np.append(arrays["seen"], 3)
    assert many.usual(fitting(arrays)) == {}
    arrays = drawn(0)
    high = {n: arrays[n].astype(np.int64) + 2**40 for n in ("labels", "seen", "unseen")}
    high |= {n: arrays[n].astype(np.int64) + 2**40 for n in arrays if n.startswith("predicted")}
    assert many.usual(fitting(arrays | high)) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"predicted": (6, 5, 2)}, "predicted holds no classes"),
        ({"predicted_seen": (2, 0, 1)}, "predicted_seen holds no classes"),
        ({"predicted_unseen": (2, 0, -1)}, "predicted_unseen holds no classes"),
        ({"best_seen": (4, 3, np.nan)}, "scores of checkpoint {} are not finite"),
    ],
)
def test_what_fits_no_checkpoint_is_refused(changes, said):
    arrays = {name: array.copy() for name, array in drawn(1).items()}
    for name, (row, column, value) in changes.items():
        arrays[name][row, column] = value
        number = arrays["checkpoints"][row]
    with pytest.raises(RecordError, match=said.format(number)):
        fitting(arrays)
