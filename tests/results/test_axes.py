"""Checkpoints of two axes, and rules that choose along one of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from gzsl_bench import Config, Method, MethodSpec
from gzsl_bench.errors import GzslBenchError, RecordError, SuiteError
from gzsl_bench.records.record import parsed
from gzsl_bench.report.html import provenance
from gzsl_bench.report.notes import notes
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.axes import along, axes_of, described, fault, position
from gzsl_bench.scoring.rules import lead, rule_of
from gzsl_bench.tracking.describe import describe

AXES = (("gan_epoch", 4), ("classifier_epoch", 3))


class Knobs(Config):
    outer: int = 4
    inner: int = 3


class Twice(Method):
    """Noise differs by checkpoint; the outer epochs 2 and 4 are looked at."""

    Config = Knobs

    @classmethod
    def axes(cls, config):
        return {"gan_epoch": config.outer, "classifier_epoch": config.inner}

    def fit(self, task, run):
        x, y = task.features.double(), task.attributes[task.labels].double()
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
        for number in (n for e in (2, 4) for n in range(3 * e - 2, 3 * e + 1)):
            draw = torch.randn(weights.shape, generator=run.generator(f"n{number}")).double()
            run.checkpoint(
                number,
                lambda v, w=weights + 0.8 * draw: (
                    -torch.cdist(v.double() @ w, task.attributes.double())
                ),
            )


class Once(Twice):
    @classmethod
    def axes(cls, config):
        return {}


SPEC = MethodSpec("twice", Twice, citation="", fidelity="paper")
PLAIN = MethodSpec("once", Once, citation="", fidelity="paper")
CHOICES = {
    "val.gan_epoch": (6, 12),
    "val.classifier_epoch": (10, 11, 12),
    "val": (4, 5, 6, 10, 11, 12),
    "best_test.gan_epoch": (6, 12),
    "best_test.classifier_epoch": (10, 11, 12),
    "best_test": (4, 5, 6, 10, 11, 12),
}
TEXT = (
    "name: s\ndatasets: [tiny]\nmethods: [twice, once]\nseeds: 2\n"
    f"calibration: true\nselection: [last, {', '.join(CHOICES)}]\n"
)


def test_rules_choose_along_one_axis_or_both(make_registry, resolve_text, run_inline):
    registry = make_registry(SPEC, PLAIN)
    suite = resolve_text(TEXT, registry)
    _, store, _ = run_inline(suite.cells, registry)
    results = Results(suite, store)
    table = {(row.label, row.selection): row for row in rows(results)}
    folds = [store.read(c.key) for c in suite.cells if c.fold and c.label == "twice"]
    real = [store.read(c.key) for c in suite.cells if not c.fold and c.label == "twice"]
    assert {r.axes for r in (*folds, *real)} == {AXES}
    h = lambda r: {c.number: c.metrics["harmonic_mean"] for c in r.checkpoints}  # noqa: E731
    means = {n: sum(h(fold)[n] for fold in folds) / len(folds) for n in CHOICES["val"]}
    for rule, candidates in CHOICES.items():
        row = table["twice", rule]
        for record, numbers in zip(real, row.checkpoints, strict=True):
            said = means if rule.startswith("val") else h(record)
            assert said[numbers[0]] == max(said[n] for n in candidates)
            assert numbers[0] in candidates
        assert row.to_json()["at"] == [position(AXES, n) for (n,) in row.checkpoints]
    gap = table["twice", "best_test.gan_epoch"].selection_gap
    mine = [table["twice", f"{r}.gan_epoch"].summary().mean for r in ("best_test", "val")]
    assert gap.mean == pytest.approx(mine[0] - mine[1])
    assert table["twice", "val.gan_epoch"].support.candidates == 2

    # The pair of checkpoint and gamma is one of the axis, too.
    cells = [c for c in suite.cells if not c.fold and c.label == "twice"]
    of_folds = [c for c in suite.cells if c.fold and c.label == "twice"]
    biases = results.biases(of_folds, CHOICES["val"])
    for rule in ("val", "val.gan_epoch", "val.classifier_epoch"):
        choice = results.validation.choose(f"{rule}+gamma", cells[0], real[0])
        assert choice.gamma == biases[choice.number].gamma
        assert biases[choice.number].h == max(biases[n].h for n in CHOICES[rule])

    # A method that counts one thing alone has a sentence in place of numbers.
    assert table["once", "val"].to_json().keys() & {"at"} == set()
    why = table["once", "val.gan_epoch"].unavailable
    assert why == "the checkpoints of tiny · once have no axis 'gan_epoch': their numbers count" \
        " one thing alone"  # fmt: skip
    other = next(c for c in suite.cells if not c.fold and c.label == "once")
    single = replace(store.read(other.key), checkpoints=real[0].checkpoints[:1])
    assert results.validation.choose("best_test.gan_epoch", other, single).number == 4
    text = "\n".join(notes(list(table.values())))
    (line,) = (line for line in text.splitlines() if line.endswith(f": {why}."))
    assert line.startswith("No numbers for val.gan_epoch, ")
    assert "best_test.gan_epoch: best_test along gan_epoch alone, all else at its last." in text

    # Wherever a checkpoint is named, its place is.
    place = described(AXES, table["twice", "best_test"].checkpoints[0][0])
    shown = provenance.cells(results, list(table.values()), {})
    assert any(f"best_test {place}" in str(line) for line in shown.lines)
    said = describe(results, cells[:1], real[0])
    assert f"checkpoint {place}" in str(said)

    _forged(store, real[0])


def _forged(store, record):
    raw = json.loads((record.path / "record.json").read_bytes())
    for axes, why in {
        (("gan_epoch", 2), ("classifier_epoch", 3)): "checkpoint 10 does not lie on the axes",
        (("gan epoch", 4), ("classifier_epoch", 3)): "'gan epoch' is no name of a checkpoint axis",
        (("a", 4), ("a", 3)): "two checkpoint axes have one name",
        (("a", 0), ("b", 3)): "the checkpoint axis a has the length 0",
        (("a", 2**40), ("b", 2**40)): "places, more than",
    }.items():
        with pytest.raises(RecordError, match=re.escape(why)):
            parsed(json.dumps(raw | {"axes": axes}).encode(), record.key)
    old = raw | {"record_version": 2}
    del old["axes"]
    assert parsed(json.dumps(old).encode(), record.key).axes == ()


@pytest.mark.parametrize(
    ("selection", "why"),
    [
        ("last.gan_epoch", "the selection rule 'last' chooses nothing, so it takes no axis"),
        ("val.gan_epochs", "unknown checkpoint axis 'gan_epochs'.*gan_epoch"),
        ("val.", "'' is no name of a checkpoint axis: val.AXIS is expected"),
        ("vall.gan_epoch", "unknown selection rule 'vall'.*val"),
    ],
)
def test_an_axis_that_nobody_has_is_refused(make_registry, resolve_text, selection, why):
    text = TEXT.replace("[last, ", f"[last, '{selection}', ")
    with pytest.raises(SuiteError, match=why):
        resolve_text(text, make_registry(SPEC, PLAIN))


def test_a_checkpoint_beyond_the_axes_fails_its_cell(make_registry, resolve_text, run_inline):
    registry = make_registry(SPEC)
    suite = resolve_text(
        "name: s\ndatasets: [tiny]\nmethods: [{use: twice, config: {outer: 3}}]\n", registry
    )
    _, store, _ = run_inline(suite.cells, registry)
    said = store.read(suite.cells[0].key).cause
    assert said == "checkpoint 10 does not lie on the axes gan_epoch 3 x classifier_epoch 3"


def test_places_count_all_pairs():
    places = [tuple(position(AXES, n).values()) for n in range(1, 13)]
    assert places == [(e, k) for e in range(1, 5) for k in range(1, 4)]
    assert all(one < other for one, other in pairwise(places))
    assert described(AXES, 6) == "6 (gan_epoch 2, classifier_epoch 3)"
    assert described(AXES[1:], 2) == described((), 2) == "2"
    assert along(AXES, "gan_epoch", [2, 3, 5, 6]) == [3, 6]
    assert along(AXES, "classifier_epoch", [2, 3, 5, 6]) == [5, 6]
    assert fault(AXES, [1, 12]) == ""
    with pytest.raises(GzslBenchError, match="should be a mapping"):
        axes_of(["gan_epoch"])
    assert rule_of("best_test.x+gamma").over == "x"
    assert lead(["last", "val.x", "val", "best_test"]) == "val"
    assert lead(["last", "best_test", "val.x"]) == "val.x"
