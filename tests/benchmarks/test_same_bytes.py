"""Two results folders are compared by what was predicted, whatever the keys are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.same_bytes import main


def cell(out: Path, key: str, seed: int, value: int, fold: int = 0) -> None:
    folder = out / "cells" / key
    folder.mkdir(parents=True)
    identity = {
        "dataset": {"fingerprint": "f" * 24, "features": "res101"},
        "method": {"name": "ridge", "config": {"penalty": 1.0}},
        "seed": seed,
        "task": {"fold": fold} if fold else "real",
    }
    (folder / "record.json").write_text(json.dumps({"identity": identity, "status": "complete"}))
    np.savez_compressed(folder / "predictions.npz", predicted=np.array([value]))


def test_equal_predictions_under_other_keys(tmp_path, capsys):
    for out, prefix in ((tmp_path / "a", "1"), (tmp_path / "b", "2")):
        cell(out, prefix + "0", 0, 5)
        cell(out, prefix + "1", 0, 6, fold=1)
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out == "2 and 2 cells, 0 of them differ\n"


def test_what_differs_or_is_missing_is_named(tmp_path, capsys):
    cell(tmp_path / "a", "10", 0, 5)
    cell(tmp_path / "a", "11", 1, 5)
    cell(tmp_path / "b", "20", 0, 7)
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    said = capsys.readouterr().out
    assert "ridge · seed 0 · real" in said
    assert "ridge · seed 1 · real" in said
    assert "missing" in said
    assert said.endswith("2 and 1 cells, 2 of them differ\n")
