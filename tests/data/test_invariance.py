"""What may not change a number: the order of rows, classes and lists, and the shipped lists."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gzsl_data_factory import tiny_content, write_xlsa17
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench import GZSLData, Run, Task
from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.data.identity import compute_fingerprint
from gzsl_bench.data.tasks import PREPROCESSING, prepare
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.engine.units import plan
from gzsl_bench.executors.inline import inline_executor
from gzsl_bench.executors.run import run_units
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.records.store import RecordStore
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet
from gzsl_bench.suite.datasets import Place
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.resolve import resolve

eszsl = pytest.importorskip("gzsl_bench_eszsl")
METRICS = {spec.name: spec for spec in gzsl_bench_metrics()}


def numbers(data: GZSLData, preprocessing: str) -> dict[str, float]:
    """Every metric of ESZSL on a data object."""
    ready = prepare(data, preprocessing)
    task = Task(
        features=torch.from_numpy(ready.train_features),
        labels=torch.from_numpy(ready.train_labels),
        attributes=torch.from_numpy(data.attributes.astype(np.float32)),
        seen=torch.from_numpy(data.seen),
        unseen=torch.from_numpy(data.unseen),
    )
    config = eszsl.ESZSLConfig()
    scorer = eszsl.ESZSL(config).fit(task, Run(0, task.device, config, None))
    count = len(ready.test_labels)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    tests = TestSet(
        torch.from_numpy(ready.test_features), ready.test_labels, data.seen, data.unseen, order
    )
    return evaluate(tests.predict(scorer, EmbeddingCache()), METRICS)


def shuffled(data: GZSLData, seed: int) -> GZSLData:
    """The same images and classes: rows, class numbers and index lists in another order."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data.labels))  # new row i is old row rows[i]
    where = np.argsort(rows)
    classes = rng.permutation(data.num_classes)  # old class c is called classes[c]
    attributes = np.empty_like(data.attributes)
    attributes[classes] = data.attributes
    return replace(
        data,
        features=np.ascontiguousarray(data.features[rows]),
        labels=classes[data.labels[rows]],
        attributes=attributes,
        **{
            part: rng.permutation(where[getattr(data, part)])
            for part in ("trainval", "test_seen", "test_unseen")
        },
    )


@given(st.integers(0, 10_000), st.integers(0, 3), st.sampled_from(sorted(PREPROCESSING)))
@settings(max_examples=40)
def test_orders_change_no_metric_of_eszsl(make_data, seed, which, preprocessing):
    data = make_data(which)
    before, after = numbers(data, preprocessing), numbers(shuffled(data, seed), preprocessing)
    assert set(before) == set(METRICS)
    # One image more or less right would be far outside; sums in another order are not.
    assert after == pytest.approx(before, abs=1e-6)


def test_the_shuffle_is_one(make_data):
    """The test above would be empty if shuffling changed nothing, or ESZSL scored at chance."""
    data = make_data()
    other = shuffled(data, 1)
    assert not np.array_equal(data.labels, other.labels)
    assert not np.array_equal(data.trainval, other.trainval)
    assert compute_fingerprint(data) != compute_fingerprint(other)
    assert numbers(data, "minmax")["zsl_acc"] > 60
    spoilt = replace(data, attributes=data.attributes[::-1].copy())
    assert numbers(spoilt, "minmax") != pytest.approx(numbers(data, "minmax"), abs=1e-6)


# The shipped lists -------------------------------------------------------------------------------

SUITE = "name: s\ndatasets: [{use: %s, features: %s}]\nmethods: [eszsl]\n"


def keys_and_metrics(root: Path, out: Path, name: str, features: str) -> tuple[list[str], Any]:
    """Resolve and train ESZSL on a folder, in this process."""
    out.mkdir()
    path = out / "s.yaml"
    path.write_text(SUITE % (name, features))
    registry = load_plugins()
    loaded = load_suite(path)
    check_names(loaded, registry, (name,))
    suite = resolve(loaded, registry, Place(root, out / "cache"))
    store = RecordStore(out / "results")
    worker = WorkerSettings(store.layout.out, root, out / "cache", "cpu", 1)
    units = plan(suite.cells, registry, 1)
    run_units(store, suite.cells, units, inline_executor(registry), worker, lambda event: None)
    records = [store.read(cell.key) for cell in suite.cells]
    assert all(record is not None and record.complete for record in records)
    return [c.key for c in suite.cells], [r.checkpoints for r in records if r]


def versions(splits: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """v1, v2 and no lists, from the final lists of a file."""
    trainval, test = (
        splits[key].ravel().astype(np.int64) for key in ("trainval_loc", "test_seen_loc")
    )
    half, cut = len(trainval) // 2, len(test) // 2
    return {
        "v1": {
            "train_loc": np.concatenate([trainval[:half], test[:cut]])[:, None].astype(np.uint16),
            "val_loc": np.concatenate([trainval[half:], test[cut:]])[:, None].astype(np.uint16),
        },
        "v2": {
            "train_loc": trainval[:half, None].astype(np.uint16),
            "val_loc": trainval[half:, None].astype(np.uint16),
        },
        "none": {},
    }  # fmt: skip


def test_replacing_the_lists_changes_no_key_and_no_number(tmp_path):
    found = {}
    for version in ("v1", "v2", "none"):
        content = tiny_content()
        content["att_splits"] |= versions(content["att_splits"])[version]
        root = tmp_path / version
        write_xlsa17(root / "TINY", content)
        found[version] = keys_and_metrics(root, tmp_path / f"out-{version}", "TINY", "res101")
    assert found["v1"] == found["v2"] == found["none"]


def test_a_suite_names_the_leak(tmp_path):
    content = tiny_content()
    content["att_splits"] |= versions(content["att_splits"])["v1"]
    write_xlsa17(tmp_path / "data" / "TINY", content)
    path = tmp_path / "s.yaml"
    path.write_text(SUITE % ("TINY", "res101"))
    loaded = load_suite(path)
    suite = resolve(loaded, load_plugins(), Place(tmp_path / "data", None))
    (warning,) = suite.warnings
    assert warning.startswith("TINY: train_loc and val_loc in TINY/att_splits.mat are the")
    assert "first version's (v1)" in warning


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "features"), [("CUB", "resnet_fc1000"), ("FLO", "mobilenetv2")])
def test_replacing_the_lists_of_real_files_changes_nothing(tmp_path, name, features):
    from scipy.io import loadmat, savemat

    source = Path(os.environ.get("GZSL_BENCH_DATA", "/nowhere")) / name
    if not (source / f"{features}.mat").is_file():
        pytest.skip("GZSL_BENCH_DATA does not hold it")
    found = {}
    splits = {k: v for k, v in loadmat(source / "att_splits.mat").items() if k[0] != "_"}
    for version in ("as shipped", "v2", "none"):
        folder = tmp_path / version / name
        shutil.copytree(source, folder, symlinks=True, copy_function=os.symlink)
        if version != "as shipped":
            (folder / "att_splits.mat").unlink()
            kept = {k: v for k, v in splits.items() if k not in ("train_loc", "val_loc")}
            savemat(folder / "att_splits.mat", kept | versions(splits)[version])
        found[version] = keys_and_metrics(
            tmp_path / version, tmp_path / f"out-{version}", name, features
        )
    assert found["as shipped"] == found["v2"] == found["none"]
