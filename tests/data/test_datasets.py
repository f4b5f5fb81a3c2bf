"""The built-in data sets, the command line, and the real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from gzsl_data_factory import write_xlsa17

import gzsl_bench.builtin.digits as digits
import gzsl_bench.builtin.synthetic as synthetic
from gzsl_bench.builtin.datasets import folder_spec, gzsl_bench_datasets
from gzsl_bench.cli.data import data_group
from gzsl_bench.data.checks import check_data
from gzsl_bench.data.identity import compute_fingerprint
from gzsl_bench.data.known import KNOWN, KnownDataset
from gzsl_bench.errors import DataError, GzslBenchError
from gzsl_bench.hooks.dataset import DatasetRequest

SPECS = {spec.name: spec for spec in gzsl_bench_datasets()}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GZSL_BENCH_CACHE", str(tmp_path / "cache"))


def test_the_names() -> None:
    assert list(SPECS) == ["CUB", "SUN", "AWA1", "AWA2", "APY", "FLO", "digits", "synthetic"]
    assert {SPECS[name].features for name in KNOWN} == {"res101"}
    assert all(spec.citation and spec.summary for spec in SPECS.values())


def test_the_published_facts_agree_with_each_other() -> None:
    for known in KNOWN.values():
        assert known.trainval + known.test_seen + known.test_unseen == known.rows
        assert known.validation < known.seen
    sizes = {n: (k.rows, k.attributes, k.seen, k.unseen, k.trainval) for n, k in KNOWN.items()}
    assert sizes == {  # protocol sheet, section 1
        "CUB": (11788, 312, 150, 50, 7057),
        "SUN": (14340, 102, 645, 72, 10320),
        "AWA1": (30475, 85, 40, 10, 19832),
        "AWA2": (37322, 85, 40, 10, 23527),
        "APY": (15339, 64, 20, 12, 5932),
        "FLO": (8189, 1024, 82, 20, 5631),
    }


def test_naming_data_sets_imports_nothing_heavy() -> None:
    code = (
        "import sys, gzsl_bench.builtin.datasets as d, gzsl_bench.cli.data\n"
        "list(d.gzsl_bench_datasets())\n"
        "print([m for m in ('scipy', 'sklearn', 'torch', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) in ([], ["numpy"])


def test_digits() -> None:
    data = check_data(SPECS["digits"].load(DatasetRequest("digits", None, "pixels", "strokes")))
    assert data.features.shape == (1797, 64)
    assert data.unseen.tolist() == sorted(digits.UNSEEN)
    for c in data.seen:
        rows = np.flatnonzero(data.labels == c)
        assert np.intersect1d(rows, data.test_seen).tolist() == rows[4::5].tolist()
    assert sum(map(len, (data.trainval, data.test_seen, data.test_unseen))) == 1797
    assert len({row.tobytes() for row in data.attributes}) == 10
    np.testing.assert_allclose(np.linalg.norm(data.attributes, axis=1), 1)
    assert len(data.folds) == 3
    assert data.fingerprint == compute_fingerprint(data)
    lamps = SPECS["digits"].load(DatasetRequest("digits", None, "pixels", "lamps"))
    assert lamps.attributes.shape == (10, 7)
    assert lamps.fingerprint != data.fingerprint


def test_the_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    data = SPECS["digits"].load(DatasetRequest("digits", None, "pixels", "strokes"))
    np.testing.assert_array_equal(data.features, theirs.data)
    np.testing.assert_array_equal(data.labels, theirs.target)


def test_every_property_of_the_digits_has_a_trained_carrier() -> None:
    seen = [c for c in range(10) if c not in digits.UNSEEN]
    assert (digits.embedding("strokes")[seen].max(axis=0) > 0).all()
    assert all(len(values) == 10 for values in digits.SHAPES.values())


@pytest.mark.parametrize(
    ("name", "features", "attributes", "sentence"),
    [
        ("digits", "res101", "strokes", "unknown feature set of digits 'res101'"),
        ("digits", "pixels", "stroke", "did you mean 'strokes'"),
        ("synthetic", "res101", "attributes", "unknown shape of synthetic 'res101'"),
        ("synthetic", "CUB", "att", "unknown class embedding of synthetic 'att'"),
    ],
)
def test_variants_that_do_not_exist(
    name: str, features: str, attributes: str, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        SPECS[name].load(DatasetRequest(name, None, features, attributes))


@pytest.fixture
def small_shape(monkeypatch: pytest.MonkeyPatch) -> KnownDataset:
    """A shape small enough for tests, under the name of a real one."""
    known = KnownDataset(
        **{**KNOWN["CUB"].__dict__, "rows": 600, "dimensions": 64, "attributes": 16}
        | {"seen": 15, "unseen": 5, "trainval": 360, "test_seen": 90, "test_unseen": 150}
        | {"validation": 5}
    )
    monkeypatch.setattr(synthetic, "KNOWN", {"CUB": known})
    return known


def test_synthetic_has_the_shape_and_is_the_same_each_time(
    small_shape: KnownDataset, tmp_path: Path
) -> None:
    request = DatasetRequest("synthetic", None, "CUB", "attributes")
    data = check_data(SPECS["synthetic"].load(request))
    assert data.features.shape == (600, 64)
    assert data.attributes.shape == (20, 16)
    assert (data.seen.size, data.unseen.size) == (15, 5)
    assert [len(p) for p in (data.trainval, data.test_seen, data.test_unseen)] == [360, 90, 150]
    assert {fold.val.size for fold in data.folds} == {5}
    assert data.features.min() == 0
    assert data.fingerprint == compute_fingerprint(data)
    cached = DatasetRequest("synthetic", None, "CUB", "attributes", tmp_path / "cache")
    for _ in range(2):
        again = SPECS["synthetic"].load(cached)
        assert isinstance(again.features, np.memmap)
        assert again.fingerprint == data.fingerprint


def test_synthetic_can_be_learnt_and_transfers(small_shape: KnownDataset) -> None:
    data = SPECS["synthetic"].load(DatasetRequest("synthetic", None, "CUB", "attributes"))
    x = data.features[data.trainval].astype(np.float64)
    target = data.attributes[data.labels[data.trainval]]
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(64), x.T @ (target - target.mean(axis=0)))
    scores = data.features[data.test_unseen] @ weights @ data.attributes[data.unseen].T
    right = data.unseen[scores.argmax(axis=1)] == data.labels[data.test_unseen]
    assert right.mean() > 2 / 5  # chance is 1/5


def call(*args: str, status: int = 0) -> Result:
    result = CliRunner().invoke(data_group, list(args))
    assert result.exit_code == status, result.output
    return result


def test_list_shows_variants(root: Path) -> None:
    write_xlsa17(root / "CUB", features="mine")
    found = json.loads(call("list", "--data", str(root), "--json").stdout)
    rows = {row["name"]: row for row in found["datasets"]}
    assert rows["TINY"]["features"] == ["res101"]
    assert rows["TINY"]["ready"]
    assert not rows["TINY"]["registered"]
    assert rows["CUB"]["features"] == ["mine"]
    assert not rows["CUB"]["ready"]
    assert rows["SUN"]["missing"][0]["path"].endswith("SUN/res101.mat")
    assert rows["digits"]["ready"]
    table = call("list", "--data", str(root)).stdout
    assert "| TINY " in table
    assert "| other features |" in table


def test_check_prints_what_is_sound_and_exits_with_two_for_the_rest(root: Path) -> None:
    result = call("check", "--data", str(root))
    assert "| TINY " in result.stdout
    assert "| digits " in result.stdout
    assert "synthetic" not in result.stdout
    write_xlsa17(root / "CUB")
    write_xlsa17(root / "SUN")
    result = call("check", "--data", str(root), status=2)
    assert "| TINY " in result.stdout
    assert result.stderr.count("error: ") == 2
    assert "11788 are published for CUB" in result.stderr


def test_check_of_one_unsound_data_set_raises_its_sentence(root: Path) -> None:
    (root / "TINY" / "res101.mat").write_text("<html>")
    result = call("check", "TINY", "--data", str(root), status=1)
    assert isinstance(result.exception, GzslBenchError)
    assert "is an HTML page" in str(result.exception)
    result = call("check", "TINYY", "--data", str(root), status=1)
    assert "unknown data set 'TINYY'; did you mean 'TINY'" in str(result.exception)


def test_check_takes_the_path_of_a_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GZSL_BENCH_DATA", raising=False)
    monkeypatch.chdir(root)
    for path in ("./TINY", "TINY/", str(root / "TINY")):
        assert "| TINY " in call("check", path).stdout
    assert "| TINY " in call("check", "TINY").stdout  # no data folder has that name
    write_xlsa17(root / "elsewhere" / "CUB")
    result = call("check", "elsewhere/CUB", status=1)
    assert "11788 are published for CUB" in str(result.exception)
    result = call("check", "./TINYY", status=1)
    assert "./TINYY is not a folder; give the folder of a data set" in str(result.exception)
    result = call("check", str(root), status=1)
    assert f"is not a data set but holds TINY: --data {root} checks" in str(result.exception)
    monkeypatch.chdir(root / "TINY")
    assert "| TINY " in call("check", ".").stdout


REAL = {  # protocol sheet, section 2; FLO's were measured on the file
    "CUB": ("resnet_fc1000", "v1", ("e091fdc34eb7c477", "9a9935dc8eda67e5", "d5e33c9b50f467d9")),
    "AWA1": ("phog", "v2", ("236311b9544b09d9", "5644a79bce732bd0", "8c7e80bc11da881c")),
    "FLO": ("mobilenetv2", "v1", ("77a6fc0c5fd6a693", "de7f5fb39c09e1d2", "4b86b75a6dc579df")),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_the_real_files_have_the_published_splits(name: str, tmp_path: Path) -> None:
    features, version, hashes = REAL[name]
    root = Path(os.environ.get("GZSL_BENCH_DATA", "/nowhere"))
    if not (root / name / f"{features}.mat").is_file():
        pytest.skip("GZSL_BENCH_DATA does not hold it")
    request = DatasetRequest(name, root, features, "att", tmp_path / "cache")
    assert folder_spec(name).missing(request) == []
    data = SPECS[name].load(request)
    splits: dict[str, Any] = data.provenance["split_hashes"]
    assert (splits["trainval"], splits["test_seen"], splits["test_unseen"]) == hashes
    assert data.provenance["lists"] == version
    # The leak of the first version is named; nothing else is wrong.
    assert len(data.warnings) == (version == "v1")
    assert all("the first version's (v1): they hold" in text for text in data.warnings)
    assert len(data.folds) == (0 if name == "FLO" else 3)
    assert all(fold.val.size == KNOWN[name].validation for fold in data.folds)
    assert (data.class_names is None) is (name == "FLO")
    check_data(data)
