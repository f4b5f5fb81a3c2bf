"""Methods that need more than features: what they are handed, what their keys say, how they end."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from gzsl_bench import Method, MethodSpec
from gzsl_bench.data.cache import stat_key
from gzsl_bench.data.gzsl import RegionMaps
from gzsl_bench.data.tasks import prepare
from gzsl_bench.engine.bench import Bench
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.errors import DataError, SuiteError

SUITE = "name: s\ndatasets: [{use: tiny, %s}]\nmethods: [%s]\nseeds: [0]\n"


class Pooled(Method):
    """Ridge regression from mean regions to class embeddings; notes what it was handed."""

    handed: list = []  # noqa: RUF012

    def fit(self, task, run):
        self.handed.append(task)
        x, y = task.regions[:].mean(1).double(), task.attributes.double()
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y[task.labels])

        def score(images):
            rows = torch.cat([part.regions[:].mean(1) for part in images.blocks(5)])
            return rows.double() @ weights @ y.T

        return score


class Plain(Method):
    handed: list = []  # noqa: RUF012

    def fit(self, task, run):
        self.handed.append(task)
        weights = task.features.T @ task.attributes[task.labels]
        return lambda features: features @ weights @ task.attributes.T


def spec(name, factory, **more):
    about = {"citation": "", "fidelity": "paper", "deterministic": True}
    return MethodSpec(name, factory, **about, **more)


POOLED = spec("pooled", Pooled, needs=("regions",), wants=("words", "groups"))
PLAIN = spec("plain", Plain)


@pytest.fixture(autouse=True)
def _fresh():
    Pooled.handed.clear()
    Plain.handed.clear()


def with_maps(data, path=None, seed=0):
    values = np.random.default_rng(seed).standard_normal((len(data.labels), 4, 6))
    values = values.astype(np.float16)
    if path is not None:
        np.save(path, values)
        values = np.load(path, mmap_mode="r")
    return replace(data, regions=RegionMaps("grid", values), fingerprint="")


def test_only_who_asks_is_handed_more_and_only_its_key_says_so(
    tiny, make_registry, resolve_text, run_inline
):
    words = np.ones((tiny.attributes.shape[1], 2))
    data = replace(with_maps(tiny), words=words)
    registry = make_registry(POOLED, PLAIN, data={"tiny": data})
    suite = resolve_text(SUITE % ("regions: grid", "pooled, plain"), registry)
    keys = {cell.method: cell.key for cell in suite.cells}
    # Without maps anywhere the plain method has the key it ever had.
    bare = make_registry(PLAIN, data={"tiny": tiny})
    (cell,) = resolve_text(SUITE % ("features: raw", "plain"), bare).cells
    assert cell.key == keys["plain"]
    assert set(cell.request) == {"use", "features", "attributes"}
    other = make_registry(
        POOLED, PLAIN, data={"tiny": replace(with_maps(tiny, seed=1), words=words)}
    )
    changed = resolve_text(SUITE % ("regions: grid", "pooled, plain"), other)
    again = {cell.method: cell.key for cell in changed.cells}
    assert again["plain"] == keys["plain"]
    assert again["pooled"] != keys["pooled"]
    _, store, _ = run_inline(suite.cells, registry)
    (task,), (plain,) = Pooled.handed, Plain.handed
    assert plain.regions is plain.words is None
    assert len(task.regions) == len(data.trainval)
    assert task.words.tolist() == words.tolist()
    assert task.groups is None  # wanted, and not there
    said = store.read(keys["pooled"]).identity["dataset"]
    assert said["regions"].startswith("grid ")
    assert "class_names" not in said


@pytest.mark.parametrize(
    ("methods", "entry", "reason"),
    [
        ("pooled", "features: raw", "'pooled' needs region maps, and the data set tiny has none"),
        ("texts", "features: raw", "'texts' needs class names, and the data set tiny has none"),
        ("two", "features: raw", "'two' needs a second feature set.*`second: NAME`"),
    ],
)
def test_a_suite_that_lacks_what_a_method_needs_is_refused(
    make_registry, resolve_text, methods, entry, reason
):
    texts, two = (
        spec(name, Plain, needs=(what,))
        for name, what in (("texts", "class_names"), ("two", "second"))
    )
    registry = make_registry(POOLED, texts, two)
    with pytest.raises(SuiteError, match=reason) as error:
        resolve_text(SUITE % (entry, methods), registry)
    assert "\n" not in str(error.value)


def test_of_several_maps_one_must_be_named(tiny, make_registry, resolve_text):
    registry = make_registry(POOLED, data={"tiny": with_maps(tiny)})
    known = registry.datasets["tiny"]
    registry.datasets["tiny"] = replace(known, regions=("grid", "fine"))
    with pytest.raises(SuiteError, match="has several; name one as `regions` .*: grid, fine"):
        resolve_text(SUITE % ("features: raw", "pooled"), registry)
    registry.datasets["tiny"] = replace(known, regions=("grid",))
    (cell,) = resolve_text(SUITE % ("features: raw", "pooled"), registry).cells
    assert cell.request["regions"] == "grid"


def bench_of(data, given=("regions",)):
    ready = prepare(data, "none")
    sealed = Sealed.of(ready)
    passed = Sealed.received(os.dup(sealed.descriptor), sealed.describe())
    return Bench(passed, torch.device("cpu"), "inductive", given), sealed


def test_maps_stay_in_their_file_or_in_sealed_memory(tiny, tmp_path):
    data = with_maps(tiny, tmp_path / "maps.npy")
    ready = prepare(data, "none")
    there, here = Sealed.of(ready), Sealed.of(ready.whole())
    # As a node of a cluster gets them, where the file is not: in memory, like any other array.
    assert here.size - there.size >= ready.regions.nbytes
    assert [maps.path for maps in there.mapped] == [str(tmp_path / "maps.npy")]
    for sealed in (there, here):
        found = sealed.pristine().regions
        assert not found.flags.writeable
        np.testing.assert_array_equal(found, data.regions.values)
        sealed.close()


def test_scorers_are_shown_maps_mixed_as_features_are(tiny, tmp_path):
    data = with_maps(tiny, tmp_path / "maps.npy")
    bench, sealed = bench_of(data)
    tests = bench.tests(3)
    rows = np.concatenate([data.test_seen, data.test_unseen])[tests.order]
    assert not np.array_equal(tests.order, np.arange(len(rows)))
    np.testing.assert_array_equal(tests.shown.features.numpy(), data.features[rows])
    np.testing.assert_array_equal(
        tests.shown.regions[:].numpy(), data.regions.values[rows].astype(np.float32)
    )
    np.testing.assert_array_equal(
        bench.task.regions[:].numpy(), data.regions.values[data.trainval].astype(np.float32)
    )
    assert bench.changed() is None
    assert not bench.tests_changed(tests)
    tests.shown.features[0, 0] += 1
    assert bench.tests_changed(tests)
    sealed.close()


def test_a_file_of_maps_that_changes_while_it_is_used_is_noticed(tiny, tmp_path):
    path = tmp_path / "maps.npy"
    bench, sealed = bench_of(with_maps(tiny, path))
    before = stat_key(path.stat())
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))
    assert stat_key(path.stat()) != before
    with pytest.raises(DataError, match=r"maps\.npy changed while a run was using it"):
        bench.changed()
    with pytest.raises(DataError, match="start the run again"):
        sealed.pristine()
    sealed.close()
