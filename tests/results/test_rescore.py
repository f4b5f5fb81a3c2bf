"""Rescoring: the numbers come out again, new ones are added, and no record's byte changes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from gzsl_bench import Config, Method, MethodSpec
from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.rescore import out_of_date, rescore
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring import metrics
from gzsl_bench.scoring.evaluate import outdated
from gzsl_bench.scoring.summary import Summary

SUITE = "name: s\ndatasets: [tiny]\nmethods: [walk]\nseeds: 2\nselection: [last, best_test]\n"


class Walk(Method):
    """Offers four random scorers."""

    Config = Config

    def fit(self, task, run):
        generator = run.generator("walk")
        for number in range(1, 5):
            shape = (task.features.shape[1], len(task.attributes))
            weights = torch.randn(shape, generator=generator)
            run.checkpoint(number, lambda x, w=weights: x @ w)


@pytest.fixture
def ran(make_registry, resolve_text, run_inline):
    registry = make_registry(MethodSpec("walk", Walk, "none", "paper"))
    suite = resolve_text(SUITE, registry)
    _, store, _ = run_inline(suite.cells, registry)
    return registry, suite, store


def snapshot(store: RecordStore):
    return {
        p: (p.read_bytes(), p.stat().st_mtime_ns)
        for p in store.layout.cells.rglob("*")
        if p.is_file()
    }


def keys(suite):
    return [cell.key for cell in suite.cells]


def add(registry, *specs: MetricSpec, version="1.0"):
    for spec in specs:
        registry.metrics[spec.name] = spec
        registry.owners["metrics", spec.name] = registry.plugins[0]
    return registry


def fixed(name="fixed", value=0.25, **options):
    return MetricSpec(name, lambda p: value, **options)


def margin(scale=1.0, name="margin"):
    return MetricSpec(
        name,
        lambda p: scale * float(np.abs(p.best_seen - p.best_unseen).mean()),
        percent=False, unit="score", needs_scores=True, summary="Mean gap.",
    )  # fmt: skip


def test_nothing_new_writes_nothing(ran):
    registry, suite, store = ran
    before = snapshot(store)
    report = rescore(Results(suite, store), registry)
    assert (report.records, report.written) == (2, 0)
    for name, found in report.metrics.items():
        assert (found.added, found.changed, found.failed) == (0, 0, [])
        assert found.same == 8, name  # four checkpoints of two cells
    assert snapshot(store) == before
    assert not (store.layout.out / "rescored").exists()


def test_a_new_metric_reaches_rows_and_no_record_changes(ran):
    registry, suite, store = ran
    before, table = snapshot(store), rows(Results(suite, store))
    report = rescore(Results(suite, store), add(registry, fixed(summary="A quarter.")))
    assert (report.written, report.metrics["fixed"].added) == (2, 8)
    assert snapshot(store) == before
    after = rows(Results(suite, store))
    for old, new in zip(table, after, strict=True):
        assert new.metrics["fixed"] == Summary(25.0, 0.0, 2)
        assert new.about["fixed"].summary == "A quarter."
        same = [name for name in old.to_json() if name != "extra"]
        assert all(new.to_json()[name] == old.to_json()[name] for name in same)
    # Again: nothing is left to do.
    assert rescore(Results(suite, store), registry).written == 0


def test_numbers_of_an_older_formula_are_known_until_they_are_computed_again(ran):
    """A metric is in no key: a formula that changes raises its version instead."""
    registry, suite, store = ran
    add(registry, replace(registry.metrics["acc_unseen"], version="2", compute=lambda p: 0.5))

    def old():
        found = [store.read(cell.key).metrics for cell in suite.cells]
        return [list(outdated(said, registry.metrics.values())) for said in found]

    assert old() == 2 * [[("acc_unseen", "1", "2")]]
    assert rescore(Results(suite, store), registry).metrics["acc_unseen"].changed == 8
    assert old() == [[], []]
    # The same numbers of another version say so, too, or the warning would never end.
    add(registry, replace(registry.metrics["acc_unseen"], version="3"))
    assert rescore(Results(suite, store), registry).metrics["acc_unseen"].changed == 0
    assert old() == [[], []]


def test_a_table_says_which_numbers_are_of_an_older_formula(ran, monkeypatch):
    registry, suite, store = ran
    assert list(out_of_date(Results(suite, store))) == []
    monkeypatch.setattr(metrics, "NUMERICS", 2)
    sentences = list(out_of_date(Results(suite, store)))
    assert len(sentences) == 7
    assert sentences[0].startswith(
        "acc_seen of 2 finished cells was computed by version 1 of its formula, not by 2;"
    )
    for spec in gzsl_bench_metrics():
        registry.metrics[spec.name] = spec
    rescore(Results(suite, store), registry)
    # Of checkpoints without scores the area stays as it was.
    assert all(text.startswith("ausuc") for text in out_of_date(Results(suite, store)))


def test_an_uninstalled_metric_keeps_its_values(ran, make_registry):
    registry, suite, store = ran
    rescore(Results(suite, store), add(registry, fixed("first")))
    del registry.metrics["first"]
    rescore(Results(suite, store), add(registry, fixed("second", 0.5)))
    for row in rows(Results(suite, store)):
        assert (row.summary("first").mean, row.summary("second").mean) == (25.0, 50.0)


def test_a_metric_that_needs_scores(ran):
    registry, suite, store = ran
    report = rescore(Results(suite, store), add(registry, margin()))
    assert report.metrics["margin"].added == 8
    for row in rows(Results(suite, store)):
        assert row.summary("margin").n == 2


def test_two_definitions_of_a_metric_never_mix(ran):
    registry, suite, store = ran
    honest = registry.metrics["ausuc"]
    half = MetricSpec("ausuc", lambda p: honest.compute(p) / 2, needs_scores=True)
    before = {c.key: store.read(c.key).checkpoints for c in suite.cells}
    report = rescore(Results(suite, store), add(registry, half))
    found = report.metrics["ausuc"]
    assert found.changed > 0
    assert found.changed + found.same == 8
    for key, old in before.items():
        for was, now in zip(old, store.read(key).checkpoints, strict=True):
            assert now.metrics["ausuc"] == pytest.approx(was.metrics["ausuc"] / 2)


def test_a_metric_that_fails_is_named_and_the_rest_goes_on(ran):
    registry, suite, store = ran
    broken = MetricSpec("broken", lambda p: 1 / 0)
    report = rescore(Results(suite, store), add(registry, broken, fixed()))
    assert report.metrics["broken"].failed == [
        "metric 'broken' fails: ZeroDivisionError: division by zero"
    ]
    assert report.metrics["fixed"].added == 8


def test_a_record_without_predictions_is_named(ran):
    registry, suite, store = ran
    first, second = keys(suite)
    (store.layout.cell(first) / "predictions.npz").unlink()
    report = rescore(Results(suite, store), add(registry, fixed()))
    assert list(report.unreadable) == [first]
    assert "predictions.npz" in report.unreadable[first]
    assert report.written == 1
    assert "fixed" in store.read(second).checkpoints[0].metrics


def test_a_rescoring_speaks_for_its_own_record_only(ran):
    registry, suite, store = ran
    key = keys(suite)[0]
    rescore(Results(suite, store), add(registry, fixed()))
    place = store.layout.cell(key) / "record.json"
    content = json.loads(place.read_text())
    place.write_text(json.dumps(content | {"cause": "none"}))  # somebody retrained by hand
    assert "fixed" not in store.read(key).checkpoints[0].metrics


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"rescored_version": "x"}'])
def test_a_damaged_rescoring_is_as_none(ran, damage):
    registry, suite, store = ran
    key = keys(suite)[0]
    before = store.read(key)
    rescore(Results(suite, store), add(registry, fixed()))
    store.layout.rescoring(key).write_text(damage)
    assert store.read(key) == before


def test_a_newer_rescoring_is_as_none(ran):
    registry, suite, store = ran
    key = keys(suite)[0]
    before = store.read(key)
    rescore(Results(suite, store), add(registry, fixed()))
    place = store.layout.rescoring(key)
    place.write_text(json.dumps(json.loads(place.read_text()) | {"rescored_version": 99}))
    assert store.read(key) == before
