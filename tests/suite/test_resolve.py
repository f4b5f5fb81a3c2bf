"""Cells and keys: what a key depends on, what it does not, and how partial runs add up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gzsl_bench import Config, DatasetSpec, Method, MethodSpec, MissingFile, stackable
from gzsl_bench.data.gzsl import RegionMaps
from gzsl_bench.data.identity import identify
from gzsl_bench.data.regions import regions_digest
from gzsl_bench.errors import DataError, PluginError, SuiteError
from gzsl_bench.records.suites import parsed
from gzsl_bench.suite.cells import Cell, digest
from gzsl_bench.suite.datasets import Filter
from gzsl_bench.suite.merge import merge
from gzsl_bench.suite.resolved import ResolvedSuite


class Knobs(Config):
    width: int = 4
    depth: int = 1
    rate: float = stackable(0.1, "learning rate", gt=0)


class Plain(Method):
    Config = Knobs

    @classmethod
    def defaults(cls, dataset):
        # Per-dataset values, as ACMR and CADA-VAE have them.
        return {"width": 64} if (dataset.name, dataset.features) == ("big", "raw") else {}

    def fit(self, task, run):
        return None


PLAIN = MethodSpec("plain", Plain, citation="", fidelity="paper", preprocessing="minmax")
FIXED = MethodSpec("fixed", Plain, citation="", fidelity="paper", deterministic=True)

TEXT = """\
name: one
datasets: [tiny]
methods:
  - use: plain
    config: {width: 8, rate: 0.5}
seeds: [0, 1]
selection: [last]
"""


@pytest.fixture
def registry(make_registry):
    return make_registry(PLAIN, FIXED)


def keys(suite: ResolvedSuite) -> set[str]:
    return {cell.key for cell in suite.cells}


SAME = {
    "order of keys": """\
seeds: [0, 1]
methods:
  - config: {rate: 0.5, width: 8}
    use: plain
selection: [last]
datasets: [{use: tiny}]
name: one
""",
    "labels": TEXT.replace("use: plain", "use: plain\n    label: Mine").replace(
        "[tiny]", "[{use: tiny, label: mini}]"
    ),
    "order of seeds": TEXT.replace("[0, 1]", "[1, 0]"),
    "number of seeds": TEXT.replace("[0, 1]", "2"),
    "seeds of the method": TEXT.replace("use: plain", "use: plain\n    seeds: 2").replace(
        "seeds: [0, 1]", "seeds: 9"
    ),
    "selection": TEXT.replace("[last]", "[best_test, last]"),
    "name": TEXT.replace("name: one", "name: other\ndescription: what it is for"),
    "defaults spelt out": TEXT.replace("width: 8", "width: 8, depth: 1").replace(
        "[tiny]", "[{use: tiny, features: raw, attributes: made}]"
    ),
    "preprocessing spelt out": TEXT.replace("use: plain", "use: plain\n    preprocessing: minmax"),
    "whole number for a float": TEXT.replace("rate: 0.5", "rate: 5.0e-1"),
}


@pytest.mark.parametrize("case", SAME)
def test_what_a_key_does_not_depend_on(registry, resolve_text, case):
    assert keys(resolve_text(SAME[case], registry)) == keys(resolve_text(TEXT, registry))


OTHER = {
    "configuration": TEXT.replace("width: 8", "width: 9"),
    "stackable configuration": TEXT.replace("rate: 0.5", "rate: 0.25"),
    "left to the default": TEXT.replace("width: 8, ", ""),
    "seed": TEXT.replace("[0, 1]", "[2, 3]"),
    "preprocessing": TEXT.replace("use: plain", "use: plain\n    preprocessing: l2"),
    "preprocessing of the data": TEXT.replace("[tiny]", "[{use: tiny, preprocessing: l2}]"),
    "features": TEXT.replace("[tiny]", "[{use: tiny, features: res101}]"),
    "attributes": TEXT.replace("[tiny]", "[{use: tiny, attributes: w2v}]"),
    "method": TEXT.replace("use: plain", "use: fixed"),
}


@pytest.mark.parametrize("case", OTHER)
def test_what_a_key_depends_on(registry, resolve_text, case):
    assert not keys(resolve_text(OTHER[case], registry)) & keys(resolve_text(TEXT, registry))


def test_version_source_and_content_change_the_key(make_registry, make_data, resolve_text):
    base = make_data()
    variants = [
        make_registry(PLAIN),
        make_registry(PLAIN, version="1.1"),
        make_registry(PLAIN, source="abc"),
        make_registry(replace(PLAIN, setting="transductive")),
        make_registry(replace(PLAIN, preprocessing="zscore")),
    ]
    for changed in ("features", "labels", "attributes", "trainval", "test_seen"):
        data = {name: getattr(base, name).copy() for name in (changed, "labels", "test_seen")}
        if changed == "features":
            data["features"][3, 2] += 0.5
        elif changed == "labels":
            # Two training rows of different classes change places.
            first = base.trainval[0]
            second = next(r for r in base.trainval if base.labels[r] != base.labels[first])
            data["labels"][[first, second]] = data["labels"][[second, first]]
        elif changed == "attributes":
            data["attributes"][0, 0] += 1e-6
        elif changed == "trainval":
            data["trainval"] = data["trainval"][1:]
        else:
            data["test_seen"] = data["test_seen"][1:]
        variants.append(make_registry(PLAIN, data={"tiny": replace(base, **data)}))
    reordered = replace(base, trainval=base.trainval[::-1].copy())
    variants.append(make_registry(PLAIN, data={"tiny": reordered}))
    found = [keys(resolve_text(TEXT, registry)) for registry in variants]
    assert len(set.union(*found)) == 2 * len(variants)


def test_what_a_reader_gave_and_a_plugin_changed_has_a_key_of_its_own(
    make_registry, make_data, resolve_text
):
    read = identify(make_data())
    found = []
    for changed in ({}, {"features": read.features * 2}, {"trainval": read.trainval[::-1].copy()}):
        registry = make_registry(PLAIN, data={"tiny": replace(read, **changed)})
        found.append(keys(resolve_text(TEXT, registry)))
    assert len(set.union(*found)) == 2 * len(found)
    assert found[0] == keys(resolve_text(TEXT, make_registry(PLAIN, data={"tiny": make_data()})))


def test_region_maps_that_a_plugin_changed_have_a_key_of_their_own(
    make_registry, make_data, resolve_text
):
    read = make_data()
    maps = RegionMaps("grid", np.ones((len(read.labels), 2, 3), np.float32))
    maps = replace(maps, digest=regions_digest(maps))
    spec, found = replace(PLAIN, wants=("regions",)), []
    for changed in (
        maps,
        replace(maps, values=2 * maps.values),
        replace(maps, scale=np.full(3, 2.0, np.float32)),
    ):
        registry = make_registry(spec, data={"tiny": replace(read, regions=changed)})
        found.append(keys(resolve_text(TEXT, registry)))
    assert len(set.union(*found)) == 2 * len(found)


def test_the_name_of_the_data_set_changes_nothing(make_registry, make_data, resolve_text):
    registry = make_registry(PLAIN, data={"tiny": make_data(), "copy": make_data()})
    one = resolve_text(TEXT, registry)
    other = resolve_text(TEXT.replace("[tiny]", "[copy]"), registry)
    assert keys(one) == keys(other)


def test_defaults_of_the_data_set_are_resolved(make_registry, make_data, resolve_text):
    registry = make_registry(PLAIN, data={"tiny": make_data(0), "big": make_data(1)})
    text = "name: a\ndatasets: [tiny, big, {use: big, label: b2, features: other}]\n"
    text += "methods: [plain, {use: plain, label: set, config: {width: 5}}]\n"
    suite = resolve_text(text, registry)
    found = {(c.dataset, c.label): c.identity["method"]["config"] for c in suite.cells}
    assert {place: config["width"] for place, config in found.items()} == {
        ("tiny", "plain"): 4,
        ("big", "plain"): 64,
        ("b2", "plain"): 4,
        ("tiny", "set"): 5,
        ("big", "set"): 5,
        ("b2", "set"): 5,
    }
    assert all(set(config) == {"width", "depth", "rate"} for config in found.values())


def test_a_recipe_gives_the_defaults_of_another_data_set(make_registry, make_data, resolve_text):
    registry = make_registry(PLAIN, FIXED)
    registry.datasets["big"] = replace(registry.datasets["tiny"], name="big")
    keys = []
    for entry, config in (
        ("{use: tiny, recipe: big}", ""),
        ("tiny", ", config: {width: 64}"),
        ("tiny", ""),
    ):
        text = f"name: a\ndatasets: [{entry}]\nmethods: [{{use: plain{config}}}]\nseeds: 1\n"
        (cell,) = resolve_text(text, registry).cells
        keys.append((cell.identity["method"]["config"]["width"], cell.key))
    assert [width for width, _ in keys] == [64, 64, 4]
    # The values stand in the key, where they came from does not.
    assert keys[0] == keys[1]


def test_defaults_that_do_not_fit_blame_the_plugin(make_registry, resolve_text):
    class Odd(Plain):
        @classmethod
        def defaults(cls, dataset):
            return {"wdith": 3}

    spec = MethodSpec("odd", Odd, citation="", fidelity="paper")
    with pytest.raises(PluginError, match="'odd': its defaults for tiny fail"):
        resolve_text("name: a\ndatasets: [tiny]\nmethods: [odd]\n", make_registry(spec))


def test_a_deterministic_method_is_one_cell(registry, resolve_text):
    text = "name: a\ndatasets: [tiny]\nmethods: [plain, fixed]\nseeds: 4\n"
    suite = resolve_text(text, registry)
    assert [c.seed for c in suite.cells if c.method == "plain"] == [0, 1, 2, 3]
    assert [c.seed for c in suite.cells if c.method == "fixed"] == [0]


def test_a_deterministic_method_stays_one_cell_over_partial_runs(registry, resolve_text):
    text = "name: a\ndatasets: [tiny]\nmethods: [fixed]\nseeds: 4\n"
    first = resolve_text(text, registry)
    later = merge(first, resolve_text(text, registry, seeds=[3]))
    assert len(later.cells) == 1


def test_cells_come_in_the_order_of_the_file(make_registry, make_data, resolve_text):
    registry = make_registry(PLAIN, FIXED, data={"b": make_data(1), "a": make_data(2)})
    text = "name: s\ndatasets: [b, a]\nmethods: [plain, fixed]\nseeds: [5, 2]\n"
    found = [(c.dataset, c.label, c.seed) for c in resolve_text(text, registry).cells]
    assert found == [
        ("b", "plain", 5), ("b", "plain", 2), ("b", "fixed", 0),
        ("a", "plain", 5), ("a", "plain", 2), ("a", "fixed", 0),
    ]  # fmt: skip


def test_methods_may_be_limited_to_data_sets(make_registry, make_data, resolve_text):
    registry = make_registry(PLAIN, FIXED, data={"b": make_data(1), "a": make_data(2)})
    text = "name: s\ndatasets: [b, {use: a, label: A}]\n"
    text += "methods: [plain, {use: fixed, datasets: [A]}]\n"
    found = [(c.dataset, c.label) for c in resolve_text(text, registry).cells]
    assert found == [("b", "plain"), ("A", "plain"), ("A", "fixed")]


def test_only(make_registry, make_data, resolve_text):
    registry = make_registry(PLAIN, FIXED, data={"b": make_data(1), "a": make_data(2)})
    text = "name: s\ndatasets: [b, a]\nmethods: [plain, {use: fixed, label: F}]\n"
    part = resolve_text(text, registry, only=Filter(frozenset({"a"}), frozenset({"F"})))
    assert [(c.dataset, c.label) for c in part.cells] == [("a", "F")]
    with pytest.raises(SuiteError, match="unknown method of this suite 'fixed'"):
        resolve_text(text, registry, only=Filter(methods=frozenset({"fixed"})))
    with pytest.raises(SuiteError, match="unknown data set of this suite 'A'; did you mean 'a'"):
        resolve_text(text, registry, only=Filter(datasets=frozenset({"A"})))


def test_missing_files_of_all_data_sets_are_listed_at_once(make_registry, resolve_text):
    registry = make_registry(PLAIN)

    def never(request):
        raise AssertionError("nothing may be read while files are missing")

    for name in ("CUB", "SUN"):
        registry.datasets[name] = DatasetSpec(
            name,
            never,
            missing=lambda request: [
                MissingFile(f"/data/{request.name}/{file}", "get it there")
                for file in (f"{request.features}.mat", "att_splits.mat")
            ],
        )
    text = (
        "name: s\ndatasets: [CUB, {use: CUB, label: c2, features: phog}, SUN]\nmethods: [plain]\n"
    )
    with pytest.raises(DataError) as caught:
        resolve_text(text, registry)
    message = str(caught.value)
    assert message.startswith("5 data files are missing, so nothing was run:")
    for path in ("CUB/res101", "CUB/phog", "CUB/att_splits", "SUN/res101", "SUN/att_splits"):
        assert message.count(f"/data/{path}.mat: get it there") == 1


def test_a_suite_survives_the_way_to_disk(registry, resolve_text):
    suite = resolve_text(TEXT, registry)
    again = parsed(json.dumps(suite.to_json()).encode(), suite.name)
    assert again.to_json() == suite.to_json()
    assert all(digest(c.identity) == c.key for c in again.cells)
    assert {c.group for c in again.cells} == {suite.cells[0].group}


# merge -------------------------------------------------------------------------------------------


def test_partial_runs_of_one_file_add_up(registry, resolve_text):
    whole = resolve_text(TEXT, registry)
    first, second = (resolve_text(TEXT, registry, seeds=[n]) for n in (1, 0))
    assert merge(None, first) == first
    both = merge(first, second)
    assert both.cells == whole.cells
    assert both.datasets == whole.datasets
    assert merge(both, second).cells == whole.cells


def test_partial_runs_read_names_as_the_first_one_did(make_registry, make_data, resolve_text):
    registry = make_registry(PLAIN, data={"no": make_data(1), "2026-01-31": make_data(2)})
    text = "name: s\ndatasets: [no, 2026-01-31]\nmethods: [{use: plain, label: on}]\nseeds: 2\n"
    first, second = (resolve_text(text, registry, seeds=[n]) for n in (1, 0))
    assert merge(first, second).cells == resolve_text(text, registry).cells


def test_the_newer_run_of_a_place_counts(make_registry, resolve_text):
    old = resolve_text(TEXT, make_registry(PLAIN))
    new = resolve_text(TEXT, make_registry(PLAIN, version="2.0"), seeds=[1])
    merged = merge(old, new)
    versions = [(c.seed, c.identity["method"]["version"]) for c in merged.cells]
    assert versions == [(0, "1.0"), (1, "2.0")]


def test_an_edited_file_starts_afresh(registry, resolve_text):
    old = resolve_text(TEXT, registry)
    new = resolve_text(TEXT + "# edited\n", registry, seeds=[7])
    assert merge(old, new) == new


# digest ------------------------------------------------------------------------------------------

_numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
_plain = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def _turned(value):
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    return [_turned(v) for v in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=3), _plain, max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_keys(content):
    found = digest(content)
    assert found == digest(_turned(content))
    assert len(found) == 24
    assert found != digest({**content, "one more": 1})


def test_a_digest_of_no_number_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})


def test_cells_of_one_row_share_a_group(registry, resolve_text):
    suite = resolve_text(TEXT, registry)
    assert all(isinstance(cell, Cell) for cell in suite.cells)
    assert len({cell.group for cell in suite.cells}) == 1
    other = resolve_text(OTHER["configuration"], registry)
    assert other.cells[0].group != suite.cells[0].group


def test_precision_is_part_of_the_key_and_an_entry_may_have_its_own(make_registry, resolve_text):
    both = replace(PLAIN, precisions=("float32", "bf16"))
    registry = make_registry(both)
    plain = resolve_text(TEXT, registry)
    low = resolve_text(TEXT + "precision: bf16\n", registry)
    assert {c.identity["precision"] for c in low.cells} == {"bf16"}
    assert not keys(plain) & keys(low)
    own = TEXT.replace("  - use: plain", "  - use: plain\n    precision: bf16")
    assert keys(resolve_text(own, registry)) == keys(low)
