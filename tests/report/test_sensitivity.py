"""Sweeps in tables and on the page: shown with their noise, never ranked."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from gzsl_bench import Config, Method, MethodSpec
from gzsl_bench.hooks.metric import RESERVED
from gzsl_bench.plots import sensitivity
from gzsl_bench.plots.sensitivity import Field, Point
from gzsl_bench.published.beside import beside
from gzsl_bench.report.html.page import build
from gzsl_bench.report.html.sweeps import sweeps
from gzsl_bench.report.ranking import rank
from gzsl_bench.report.table import render
from gzsl_bench.results.comparable import marks, obstacle
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.summary import Summary


class Noisy(Method):
    """Ridge regression onto class embeddings, spoilt by noise."""

    class Config(Config):
        noise: float = 1.0
        kind: str = "plain"

    def fit(self, task, run):
        import torch

        ridge = task.features.T @ task.features + torch.eye(task.features.shape[1])
        weights = torch.linalg.solve(ridge, task.features.T @ task.attributes[task.labels])
        generator = torch.Generator().manual_seed(run.seed)
        noise = self.config.noise * torch.randn(weights.shape, generator=generator)
        for number in (1, 2):
            run.checkpoint(number, lambda x, w=weights + noise / number: x @ w @ task.attributes.T)


TEXT = """\
name: s
datasets: [tiny]
methods:
  - use: noisy
    label: N
    sweep:
      noise: [0.0, 1.0, 30.0]
      kind: [other]
  - {use: noisy, label: rival, config: {noise: 3.0}}
seeds: 3
selection: [best_test, last]
"""


@pytest.fixture
def made(make_registry, resolve_text, run_inline):
    registry = make_registry(MethodSpec("noisy", Noisy, "", "paper"))
    suite = resolve_text(TEXT, registry)
    _, store, _ = run_inline(suite.cells, registry)
    return suite, store, rows(Results(suite, store))


def h(row):
    return row.summary().mean


def test_no_metric_may_have_the_name_of_anything_else_in_a_row(made):
    suite, store, table = made
    names = set.union(*(set(row.to_json()) for row in table))
    assert "sweep_of" in names  # points of sweeps have the longest rows
    recorded = {n for c in suite.cells for n in store.read(c.key).metrics}
    assert not RESERVED & recorded
    assert names - recorded <= RESERVED


def test_points_win_nothing(made):
    _, _, table = made
    last = [row for row in table if row.selection == "last"]
    place, best = next((i, row) for i, row in enumerate(table) if row.label == "N noise=0")
    best = replace(best, metrics=best.metrics | {"harmonic_mean": Summary(99.0, 0.0, 3)})
    table[place] = best
    assert obstacle(best) == "a point of a sweep"
    marked = {table[index].label for index, _ in marks(table, ["harmonic_mean"])}
    assert marked == {"N", "rival"}
    assert rank(table)[0] is None  # one data set; and not for any row listed twice
    assert "needs at least" in rank(last)[1]
    assert "all 2 methods" in rank(last)[1]


def test_the_table_says_what_they_are(made):
    _, _, table = made
    text = render(table)
    assert "| N noise=30 " in text
    assert "N noise=...: a sweep; shown, not ranked." in text
    assert text.count(": version 1.0") == 2
    lines = list(csv.DictReader(render(table, "csv").splitlines()))
    assert [(x["sweep_of"], x["sweep_field"], x["sweep_value"]) for x in lines[:3:2]] == [
        ("", "", ""),
        ("N", "noise", "0.0"),
    ]


def test_printed_numbers_stand_beside_the_method_alone(made, monkeypatch):
    suite, store, table = made
    monkeypatch.setattr("gzsl_bench.published.beside.published_names", lambda cell: [cell.label])
    asked = []
    monkeypatch.setattr("gzsl_bench.published.beside.entries", lambda: asked.append(1) or ())
    assert beside(table, Results(suite, store)) == []
    assert len(asked) == len([row for row in table if not row.sweep]) == 4


def test_points_are_brought_together(made):
    suite, store, table = made
    (found,) = sweeps(table, Results(suite, store).cells, "last")
    assert found.label == "N"
    assert found.rules == ("last", "best_test")
    noise, kind = found.fields
    # The method's own value is one of those listed, and stands there once.
    assert [(p.value, p.usual) for p in noise.points] == [(0.0, False), (1.0, True), (30.0, False)]
    assert [(p.value, p.usual) for p in kind.points] == [("other", False), ("plain", True)]
    own = next(r for r in table if r.label == "N" and r.selection == "last")
    assert noise.points[1].harmonic["last"].mean == h(own)
    # Points of `noise` and of `kind`, and the method once: `kind` has the same numbers as it.
    by_hand = [
        r.metrics["harmonic_mean"]
        for r in table
        if r.selection == "last" and r.label in ("N", "N noise=0", "N noise=30", "N kind=other")
    ]
    variances = [s.sd**2 for s in by_hand]
    assert found.noise["last"] == pytest.approx(np.sqrt(np.mean(variances)))


def test_the_page_shows_the_sweep_and_keeps_it_out_of_everything_else(made, tmp_path):
    suite, store, _ = made
    report = build(Results(suite, store), tmp_path / "page", plot_files=True)
    page = report.path.read_text(encoding="utf-8")
    assert "Sensitivity of N" in page
    assert "to pick the best point here is to select on the test set" in page
    assert "noise: 3 values" in page
    winner = page.split('<div class="best">')[1].split("</div>")[0]
    assert winner == "N"
    folder = tmp_path / "page" / "plots"
    with (folder / "tiny-sensitivity-n.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * (3 + 2)
    assert (folder / "tiny-sensitivity-n.png").read_bytes()[:4] == b"\x89PNG"
    with (folder / "tiny-curves.csv").open(encoding="utf-8", newline="") as file:
        assert {line["method"] for line in csv.DictReader(file)} == {"N", "rival"}


def point(value, mean, sd=None, n=1, usual=False):
    return Point(value, {"last": Summary(mean, sd, n)}, usual)


def test_in_words_by_hand():
    usual = point(2.0, 50.0, 1.0, 2, usual=True)
    data = sensitivity.sensitivity(
        "A",
        ["last"],
        [
            Field("a", "", (point(3.0, 53.0, 1.0, 2), usual)),
            Field("b", "", (usual, point(1.0, 49.5, 1.0, 2), point(0.5, 50.0, 1.0, 2))),
        ],
    )
    assert data.noise == {"last": 1.0}
    first, second = sensitivity.in_words(data)
    # Two means of two seeds: 2 / sqrt(pi) / sqrt(2) = 0.798; three: 1.197.
    assert first == (
        "a: 2 values, their mean H differs by 3.0; means of as many equal points would differ by"
        " 0.8 on average (sd over seeds 1.0)."
    )
    assert "differs by 0.5; means of as many equal points would differ by 1.2" in second
    assert [p.value for p in data.fields[1].points] == [0.5, 1.0, 2.0]


def test_single_seeds_say_that_chance_is_unknown():
    data = sensitivity.sensitivity("A", ["last"], [Field("a", "", (point(1, 4.0), point(2, 5.0)))])
    assert data.noise == {"last": None}
    assert sensitivity.in_words(data) == [
        "a: 2 values, their mean H differs by 1.0; one seed a point, so what chance would do is"
        " not known."
    ]


def test_an_axis_never_makes_much_of_little():
    points = tuple(point(float(i), 50 + 0.1 * i, 0.1, 3) for i in range(4))
    data = sensitivity.sensitivity("A", ["last"], [Field("a", "x" * 300, points)])
    axes = sensitivity.figure("t", data).axes[0]
    low, high = axes.get_ylim()
    assert high - low >= 6
    assert low < 49.9
    assert high > 50.4
    flat = sensitivity.sensitivity("A", ["last"], [Field("a", "", (point(1, 0.0), point(2, 0.0)))])
    assert sensitivity.figure("t", flat).axes[0].get_ylim()[0] == 0
