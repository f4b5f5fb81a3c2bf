"""Kept models: tied to their record, predicting what is recorded, refused otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from gzsl_bench.builtin.digits import load
from gzsl_bench.cli.main import run
from gzsl_bench.engine.models import _digest
from gzsl_bench.hooks.dataset import DatasetRequest
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.stacked import CrossModalVAE
from gzsl_bench.stacked.backend import pretending
from gzsl_bench.terminal.clock import Clock
from gzsl_bench.testing.graphs import rerun

MODALITIES = ("visual", "attribute")
PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A results folder with models of the page's method and of ESZSL, and their plugin."""
    folder = tmp_path_factory.mktemp("models")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    plugin = folder / "means_plugin.py"
    plugin.write_text(code, encoding="utf-8")
    suite = folder / "s.yaml"
    suite.write_text(
        "name: s\ndatasets: [digits]\nplugins: [means_plugin.py]\nmethods: [means, eszsl]\n"
        "selection: [last]\n"
    )
    out = folder / "out"
    arguments = ["run", str(suite), "--out", str(out), "--inline", "--tracking-uri", "none"]
    assert run([*arguments, "--keep-models"]) == 0
    return out, plugin, arguments


def cells(out: Path) -> dict[str, str]:
    return {record.label: record.key for record in RecordStore(out)}


def features(images: np.ndarray | None = None) -> np.ndarray:
    data = load(DatasetRequest("digits", None, "pixels", "strokes"))
    rows = np.concatenate([data.test_seen, data.test_unseen]) if images is None else images
    return np.asarray(data.features[rows])


@pytest.mark.parametrize("label", ["means", "eszsl"])
def test_a_kept_model_predicts_what_is_recorded(kept, tmp_path, capsys, label):
    """The recorded test rows, handed in as if they were new."""
    out, plugin, _ = kept
    key = cells(out)[label]
    np.save(tmp_path / "new.npy", features())
    given = ["predict", key[:10], str(tmp_path / "new.npy"), "--out", str(out)]
    given += ["--plugin", str(plugin)]
    assert run(given) == 0
    said = capsys.readouterr()
    assert f"checkpoint 1 of {key} predicts its test rows as recorded" in said.err
    arrays = RecordStore(out).read(key).predictions()
    head, *lines = said.out.splitlines()
    assert head == "row,class,score"
    assert [int(line.split(",")[1]) for line in lines] == arrays["predicted"][-1].tolist()
    assert run([*given, "--to", str(tmp_path / "scores.npy")]) == 0
    scores = np.load(tmp_path / "scores.npy")
    best = np.stack([scores[:, arrays["seen"]].max(1), scores[:, arrays["unseen"]].max(1)])
    recorded = np.stack([arrays["best_seen"][-1], arrays["best_unseen"][-1]])
    assert np.allclose(best, recorded, rtol=1e-5, atol=1e-6)


def test_scores_replace_no_file_and_are_named_as_they_are_written(kept, tmp_path, capsys):
    out, plugin, _ = kept
    rows = tmp_path / "rows.npy"
    np.save(rows, features()[:2])
    before = rows.read_bytes()
    given = ["predict", cells(out)["eszsl"], str(rows), "--out", str(out), "--plugin", str(plugin)]
    for to, said in (
        (rows, "rows.npy is there already"),
        (tmp_path / "a.csv", "written as .npy"),
        (rows / "new.npy", "rows.npy is a file where a folder is expected"),
    ):
        assert run([*given, "--to", str(to)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert rows.read_bytes() == before
    assert not (tmp_path / "a.csv").exists()


def test_models_are_kept_once(kept, capsys):
    out, _, arguments = kept
    before = {path: path.stat().st_mtime_ns for path in (out / "models").iterdir()}
    assert len(before) == 2
    assert run([*arguments, "--keep-models"]) == 0
    assert "again for the model" not in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (out / "models").iterdir()} == before


def test_what_does_not_fit_is_refused_in_a_sentence(kept, tmp_path, capsys):
    out, plugin, _ = kept
    keys, layout = cells(out), Layout(out)
    wide = np.zeros((2, 3), np.float32)
    holes = features()[:2].copy()
    holes[0, 0] = np.nan
    for content, said in (
        (
            wide,
            r"new\.npy: an array of float32 of the shape \(2, 3\), where floats"
            r" of the shape \(rows, 64\) are expected",
        ),
        (features()[:2].astype(int), "int64"),
        (holes, r"new\.npy holds NaN or Inf \(first in image 1 of 2\)"),
        (np.full((2, 64), 1e300), r"every feature must be a finite float32 number\n$"),
    ):
        np.save(tmp_path / "new.npy", content)
        arguments = ["predict", keys["eszsl"], str(tmp_path / "new.npy"), "--out", str(out)]
        assert run(arguments) == 2
        assert re.search(said, capsys.readouterr().err)
    (tmp_path / "text.npy").write_text("hello")
    for name, said in (
        ("text.npy", "text.npy holds Python objects (a pickle), which are never loaded"),
        ("none.npy", "none.npy does not exist"),
        ("rows.dat", "rows.dat has to be one array: a file .npy, .csv, .txt"),
    ):
        assert run([*arguments[:2], str(tmp_path / name), *arguments[3:]]) == 2
        assert said in capsys.readouterr().err
    np.save(tmp_path / "new.npy", features()[:2])
    place = layout.model(keys["eszsl"])
    whole = place.read_bytes()
    state = load_file(place)
    digest = RecordStore(out).read(keys["eszsl"]).predictions_sha256
    about = {"key": keys["eszsl"], "checkpoint": "1", "predictions_sha256": digest}
    try:
        turned = bytearray(whole)
        turned[-100] ^= 1  # of the least bits of a weight: no test row would tell
        place.write_bytes(turned)
        assert run(arguments) == 2
        assert "has changed since it was written" in capsys.readouterr().err
        other = {n: v[::-1].copy() for n, v in state.items()}
        fits = _digest({n: torch.from_numpy(v) for n, v in other.items()})
        save_file(other, place, metadata=about | {"state_sha256": fits})
        assert run(arguments) == 2
        assert re.search(r"the kept model differs in \d+ predictions", capsys.readouterr().err)
        save_file(state, place, metadata=about | {"predictions_sha256": "0"})
        assert run(arguments) == 2
        assert "is the model of another record" in capsys.readouterr().err
        place.write_bytes(whole[:100])
        assert run(arguments) == 2
        assert "cannot be read" in capsys.readouterr().err
        place.unlink()
        assert run(arguments) == 2
        assert "no model was kept" in capsys.readouterr().err
    finally:
        place.write_bytes(whole)


def test_methods_that_name_no_tensors_are_kept_too_alone_and_stacked(tmp_path, capsys, monkeypatch):
    """ACMR and CADA-VAE, two seeds as one as on a GPU, at the checkpoint that `val` chose."""
    monkeypatch.setattr(CrossModalVAE, "stacks_on_cpu", True)
    small = {f"{of}_{part}_hidden": 8 for of in MODALITIES for part in ("encoder", "decoder")}
    small |= {"epochs": 1, "batch": 300, "classifier_epochs": 6, "classifier_lr": 0.3}
    small |= {"seen_samples": 9, "unseen_samples": 9}
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "name: s\ndatasets: [digits]\nseeds: 2\nselection: [val]\nmethods:\n"
        + "".join(
            f"- {{use: {use}, config: {json.dumps(small)}}}\n" for use in ("acmr", "cada_vae")
        )
    )
    out = tmp_path / "out"
    told: dict[Clock, list[float]] = {}
    monkeypatch.setattr(
        Clock, "progress", lambda clock, done, of: told.setdefault(clock, []).append(done / of)
    )
    with pretending(rerun()):
        arguments = ["run", str(suite), "--out", str(out), "--inline", "--tracking-uri", "none"]
        assert run([*arguments, "--keep-models"]) == 0
        assert "again for the model, 2 as one" in capsys.readouterr().err
        # How far the two of a training are, taken together: it only grows, up to the whole.
        assert len(told) == 2
        for shares in told.values():
            assert shares == sorted(shares)
            assert shares[0] <= 0.5
            assert shares[-1] == 1
        np.save(tmp_path / "new.npy", features())
        for record in RecordStore(out):
            path = Layout(out).model(record.key)
            assert path.is_file() == (record.identity["task"] == "real")
            if not path.is_file():
                continue
            with safe_open(path, "np") as file:
                about = file.metadata()
            assert about["rule"] == "val"
            given = ["predict", record.key, str(tmp_path / "new.npy"), "--out", str(out)]
            to = tmp_path / f"{record.key}.npy"
            assert run([*given, "--to", str(to)]) == 0
            arrays = record.predictions()
            (chosen,) = np.flatnonzero(arrays["checkpoints"] == int(about["checkpoint"]))
            scores = np.load(to)
            assert scores.argmax(1).tolist() == arrays["predicted"][chosen].tolist()
            best = scores[:, arrays["unseen"]].max(1)
            np.testing.assert_allclose(best, arrays["best_unseen"][chosen], rtol=1e-5, atol=1e-5)
    np.save(tmp_path / "new.npy", features()[:2])
    assert run([*given, "--to", str(tmp_path / "few.npy")]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "few.npy"), scores[:2], rtol=1e-5, atol=1e-5)


def test_a_method_whose_scorer_cannot_be_noted_keeps_nothing_and_says_so(tmp_path, capsys):
    plugin = tmp_path / "lucky.py"
    plugin.write_text(
        "import torch\nfrom gzsl_bench import Method, MethodSpec, hookimpl\n"
        "class Lucky(Method):\n"
        "    def fit(self, task, run):\n"
        "        return lambda x: torch.rand(len(x), 10)\n"
        "@hookimpl\ndef gzsl_bench_methods():\n"
        "    yield MethodSpec('lucky', Lucky, citation='', fidelity='approximation')\n"
    )
    arguments = ["run", "-d", "digits", "-m", "lucky", "--plugin", str(plugin), "--inline"]
    arguments += ["--out", str(tmp_path / "out"), "--tracking-uri", "none", "--keep-models"]
    assert run(arguments) == 0
    said = "no model was kept: its scorer draws random numbers (aten.rand.default)"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "models").exists()
