"""A results repository and two results folders, by records made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from records_factory import commit, edit, make_cell

from gzsl_bench.records.recompute import BUILTIN
from gzsl_bench.records.record import FAILED
from gzsl_bench.records.store import RecordStore, hash_of
from gzsl_bench.records.submissions import (
    AS_SUBMITTED,
    REFUSED,
    REPRODUCED,
    Checked,
    Repository,
    Submission,
    Verdict,
)
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.suite.cells import Cell, digest

#: Three seen and three unseen classes, ten test rows each.
LABELS, PLACE = np.repeat(np.arange(6), 10), np.tile(np.arange(10), 6)
#: A browser that ran it would call the page "broken".
EVIL = "<img src=x onerror=\"document.title='broken'\">"


def finish(out: Path, cell: Cell, *checkpoints: Sequence[int], labels: np.ndarray = LABELS) -> str:
    """A complete record: of each checkpoint so many rows of every class are right; its key."""
    kept = []
    for right in checkpoints:
        other = (labels + 1) % 3 + 3 * (labels >= 3)
        kept.append(np.where(np.asarray(right)[labels] <= PLACE, other, labels))
    predicted, numbers = np.stack(kept), np.arange(1, len(kept) + 1)
    zero = np.zeros(predicted.shape, np.float32)
    arrays = {
        "labels": labels, "seen": np.arange(3), "unseen": np.arange(3, 6),
        "checkpoints": numbers, "scored": numbers, "predicted": predicted,
        "predicted_seen": predicted % 3, "predicted_unseen": predicted % 3 + 3,
        "best_seen": zero, "best_unseen": zero,
    }  # fmt: skip
    rows = [
        {"number": int(n), "metrics": evaluate(kept_predictions(arrays, int(n)), BUILTIN)}
        for n in numbers
    ]
    about = {"checkpoints": rows, "peak_memory": 2**30, "seconds": 90.0,
             "metrics": {name: spec.about() for name, spec in BUILTIN.items()}}  # fmt: skip
    assert commit(RecordStore(out), cell, about, arrays)
    return cell.key


def fold(cell: Cell, number: int) -> Cell:
    """The same method on a validation fold."""
    described = {**cell.identity, "task": {"fold": number, "content": f"f{number}", "code": 1}}
    return replace(cell, key=digest(described), identity=described)


@dataclass(frozen=True)
class Made:
    """What there is to be shown.

    Attributes:
        repository: with the submissions ``lab-a`` and ``lab-b``.
        own: a results folder.
        keys: of some records, by name.
    """

    repository: Path
    own: Path
    keys: dict[str, str]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Entries of every kind, on one data content and on another one of the same name."""
    root, own = tmp_path / "results", tmp_path / "own"
    clone, keys = Repository.create(root), dict[str, str]()
    first, second = (root / "submissions" / name for name in ("lab-a", "lab-b"))
    good, poor = [9, 9, 9, 8, 8, 8], [9, 9, 9, 2, 2, 2]
    for seed in (0, 1):
        keys[f"good {seed}"] = finish(first, make_cell(seed, "Good"), [8] * 6, good)
    for number in (1, 2):
        keys[f"fold {number}"] = finish(first, fold(make_cell(0, "Good"), number), good, poor)
    # The validation folds of this one never ran.
    keys["poor"] = finish(first, make_cell(0, EVIL), poor, good)
    # Another data content under the same name.
    other = make_cell(0, "Good")
    described = {**other.identity}
    described["dataset"] = {**described["dataset"], "fingerprint": "other"}
    keys["other"] = finish(
        first, replace(other, key=digest(described), identity=described), [5] * 6
    )
    # What is refused, damaged, nameless, forged, failed.
    keys["refused"] = finish(first, make_cell(0, "Refused"), good)
    keys["forged"] = finish(second, make_cell(0, "Forged"), good)
    edit(
        second / "cells" / keys["forged"],
        lambda content: content["checkpoints"][0]["metrics"].update(acc_unseen=99.0),
    )
    described = {**other.identity, "setting": ""}
    keys["nameless"] = finish(
        second, replace(other, key=digest(described), identity=described), good
    )
    labels = LABELS[::-1].copy()
    keys["elsewhere"] = finish(second, make_cell(0, "Elsewhere"), good, labels=labels)
    commit(RecordStore(own), make_cell(0, "Broken"), {"status": FAILED, "cause": "no memory"})
    for place in sorted((first / "cells").iterdir()):
        if place.name in (keys["good 0"], keys["good 1"], keys["fold 1"], keys["fold 2"]):
            (own / "cells").mkdir(exist_ok=True, parents=True)
            (own / "cells" / place.name).mkdir()
            for file in place.iterdir():
                (own / "cells" / place.name / file.name).write_bytes(file.read_bytes())
    keys["mine"] = finish(own, make_cell(0, "Mine"), [6] * 6, [7] * 6)
    for name in ("lab-a", "lab-b"):
        about = Submission(f"The people of {name}", "https://example.org", 1, "2026-05-01", (), ())
        (root / "submissions" / name / "submission.json").write_bytes(about.to_json())

    def verdict(name: str, status: str, why: str = "") -> Verdict:
        record = first / "cells" / keys[name] / "record.json"
        return Verdict(status, why, record_sha256=hash_of(record))  # type: ignore[arg-type]

    said = {
        keys[name]: verdict(name, REPRODUCED) for name in ("good 0", "good 1", "fold 1", "fold 2")
    }
    said[keys["poor"]] = verdict("poor", AS_SUBMITTED, "the data are not here")
    said[keys["refused"]] = verdict("refused", REFUSED, "its data are others")
    clone.write_checked("lab-a", Checked(said))
    return Made(root, own, keys)
