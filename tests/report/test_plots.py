"""Plots: what is drawn, by hand; a palette that survives greyscale; any label can be drawn."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.plots import (
    confusion,
    cost,
    curves,
    forest,
    gap,
    heatmap,
    ranks,
    save,
    style,
    training,
)
from gzsl_bench.plots.panels import rows
from gzsl_bench.scoring.ranks import ranking


def lightness(colour: str) -> float:
    """CIE L* of an sRGB colour."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_neighbours_differ_in_grey_and_no_two_methods_look_alike():
    assert len(set(style.COLOURS)) == len(style.COLOURS)
    for one, two in itertools.pairwise(style.COLOURS):
        assert abs(lightness(one) - lightness(two)) >= 10, (one, two)
    assert all(lightness(c) < 78 for c in style.COLOURS)  # seen on white
    looks = {(style.colour(i), style.marker(i)) for i in range(110)}
    assert len(looks) == 110
    lines = {(style.colour(i), str(style.dash(i))) for i in range(70)}
    assert len(lines) == 70


def test_the_mean_curve_by_hand():
    one = (np.array([0.0, 0.5, 0.5]), np.array([1.0, 1.0, 0.0]))  # area 0.5
    two = (np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.4, 0.0]))  # area 0.2
    unseen, seen = curves.mean_curve([one, two])
    assert unseen[0] == 0
    assert unseen[-1] == 1
    assert seen[0] == pytest.approx(0.75)
    assert seen[-1] == 0
    # At U = 0.25: 1.0 and 0.3.  At 0.75, beyond the first one's end: 0 and 0.1.
    assert np.interp(0.25, unseen, seen) == pytest.approx(0.65, abs=1e-3)
    assert np.interp(0.75, unseen, seen) == pytest.approx(0.05, abs=1e-3)
    assert np.trapezoid(seen, unseen) == pytest.approx(0.35, abs=0.005)


def test_shares_by_hand():
    # Seen classes 0 (4 rows) and 1 (1 row), unseen classes 2 (2 rows) and 3 (no row).
    predictions = Predictions(
        labels=np.array([0, 0, 0, 0, 1, 2, 2]),
        seen=np.array([0, 1]),
        unseen=np.array([2, 3]),
        predicted=np.array([0, 0, 1, 2, 3, 3, 1]),
        predicted_seen=np.zeros(7, dtype=np.int64),
        predicted_unseen=np.full(7, 2),
    )
    unseen, seen = confusion.shares(predictions)
    assert (unseen.right, unseen.within, unseen.across) == (0, 50, 50)
    # Class 0: 50, 25, 25; class 1: 0, 0, 100.
    assert (seen.right, seen.within, seen.across) == (25, 12.5, 62.5)
    assert confusion.mean([unseen, seen]).right == 12.5


def test_the_mean_line_has_the_steps_that_all_seeds_have():
    assert training.mean_line([[(1, 2.0), (2, 4.0)], [(2, 6.0), (3, 1.0)]]) == [(2, 5.0)]
    assert training.mean_line([]) == []
    long = [(float(i), float(i)) for i in range(1000)]
    thin = training.thinned(long)
    assert len(thin) <= 151
    assert (thin[0], thin[-1]) == (long[0], long[-1])


def test_classes_stand_from_hard_to_easy():
    values = np.array([[90.0, 10.0, 50.0], [70.0, 30.0, 20.0]])
    assert list(heatmap.by_difficulty(values)) == [1, 2, 0]
    data = heatmap.ClassMap(("A", "B"), values, values, np.array([7, 8, 9]), np.array([1, 2, 3]))
    lines = heatmap.rows(data)
    assert lines[0] == {"part": "unseen", "class": 8, "name": "8", "A": 10.0, "B": 30.0}
    assert [line["class"] for line in lines[3:]] == [2, 3, 1]
    named = replace(data, names=tuple(f"bird {i}" for i in range(10)))
    assert heatmap.rows(named)[0]["name"] == "bird 8"


def test_methods_stand_from_best_to_worst_those_without_numbers_last():
    entries = (
        forest.Entry("none", 0, why="failed: no memory"),
        forest.Entry("low", 1, 20.0, 15.0, 25.0),
        forest.Entry("high", 2, 40.0),
    )
    panel = forest.Panel("CUB", entries)
    assert [entry.label for entry in panel.ordered] == ["high", "low", "none"]
    lines = rows([panel])
    assert [line["mean"] for line in lines] == [40.0, 20.0, None]
    assert lines[2]["why"] == "failed: no memory"


def test_a_reason_stands_whole_and_within_its_panel():
    why = "its validation folds, by which val chooses, are not complete"
    entries = (forest.Entry("A", 0, 40.0, 30.0, 50.0), forest.Entry("cmt_star", 1, why=why))
    unseen, seen = np.full((1, 10), 40.0), np.full((1, 40), 40.0)
    data = heatmap.ClassMap(("A",), unseen, seen, np.arange(10), np.arange(40), (("B", why),))
    for made in (
        forest.figure("H", [forest.Panel(name, entries) for name in ("CUB", "FLO", "AWA1")]),
        heatmap.figure("H", data),
    ):
        made.canvas.draw()
        shown = [(axes, t) for axes in made.axes for t in axes.texts if "folds" in t.get_text()]
        assert shown
        for axes, text in shown:
            assert text.get_text().replace("\n", " ") == why
            assert text.get_window_extent().x1 < axes.bbox.x1


def test_the_largest_gap_stands_first():
    panel = gap.Panel("CUB", (gap.Entry("a", 0, 40.0, 0.5), gap.Entry("b", 1, 30.0, 3.0, 0.4)))
    assert [(line["label"], line["gap"]) for line in rows([panel])] == [
        ("b", 3.0),
        ("a", 0.5),
    ]
    made = gap.figure("t", [panel])
    assert [text.get_text() for text in made.axes[0].texts] == ["+3.0 ± 0.4", "+0.5"]
    ends = [float(line.get_xdata()[-1]) for line in made.axes[0].lines]
    assert ends == [33.0, 30.0, 33.0, 40.5, 40.0, 40.5]


def test_a_logarithmic_axis_has_numbers_no_formulas():
    spans = [training.Panel(f"{high}", 0, {0: [(1, 0.01), (2, high)]}) for high in (1.0, 3e4)]
    made = training.figure("t", spans, "step", "loss", share=False)
    made.canvas.draw()
    ticks = [t.get_text() for axes in made.axes for t in axes.get_yticklabels(which="both")]
    assert {"0.01", "0.05", "1", "10000"} <= set(ticks)
    assert not any("$" in text or "{" in text for text in ticks)


AWKWARD = ("$\\frac{", "_hidden", "x" * 200, "line\nbreak\t", "", "模型 <b>", "100 % & co")


def every_figure(labels):
    grid = np.linspace(0, 50, 20)
    many = [
        curves.Curve(label, i, grid, 60 - grid, 20.0 + i,
                     {"last": (10.0, 50.0), "val+gamma": (30.0, 30.0)})
        for i, label in enumerate(labels)
    ]  # fmt: skip
    yield curves.figure(labels[0], many)
    rng = np.random.default_rng(0)
    for unseen, seen in ((2, 5), (40, 100)):
        data = heatmap.ClassMap(
            tuple(labels), rng.random((len(labels), unseen)) * 100,
            rng.random((len(labels), seen)) * 100, np.arange(unseen), np.arange(seen),
        )  # fmt: skip
        yield heatmap.figure(labels[0], data)
    part = confusion.Shares(50, 20, 30)
    yield confusion.figure(labels[0], [confusion.Confusion(label, part, part) for label in labels])
    panels = [
        training.Panel(label, i, {0: [(1, 1.0), (2, 90.0)], 1: [(1, 2.0), (2, 3.0)]},
                       [(1, 1.0), (2, 2.0)], {"val": 2.0})
        for i, label in enumerate(labels)
    ]  # fmt: skip
    yield training.figure(labels[0], panels, "checkpoint", "H (%)")
    yield training.figure(labels[0], panels, "step", "loss", share=False)
    for memory in (None, 100.0):
        yield cost.figure(
            labels[0],
            [cost.Cost(label, i, 40, 30, 50, 10.0**i, memory) for i, label in enumerate(labels)],
        )
    entries = [forest.Entry(label, i, 40.0, 30.0, 50.0) for i, label in enumerate(labels)]
    entries.append(forest.Entry(labels[0], 0, why=labels[0]))
    yield forest.figure(labels[0], [forest.Panel(label, tuple(entries)) for label in labels])
    gaps = [gap.Entry(label, i, 40.0, i - 1.0, 0.5) for i, label in enumerate(labels)]
    yield gap.figure(labels[0], [gap.Panel(label, tuple(gaps)) for label in labels])
    if len(labels) > 1:
        scores = rng.random((30, len(labels)))
        yield ranks.figure(labels[0], ranking([f"{i}{n}" for i, n in enumerate(labels)], scores))


@pytest.mark.parametrize("labels", [AWKWARD, ("one",)], ids=["awkward", "one"])
def test_any_label_can_be_drawn(labels):
    for figure in every_figure(labels):
        svg = save.as_bytes(figure, "svg")
        assert svg.startswith(b"<?xml")
        assert b"<script" not in svg
        for axes in figure.axes:
            if axes.get_visible() and axes.axison and axes.get_label() != "<colorbar>":
                assert axes.get_xlabel()
        assert len(svg) < 400_000


def test_the_same_figure_gives_the_same_bytes():
    one, two = (next(every_figure(("A", "B"))) for _ in range(2))
    for fmt in ("svg", "png", "pdf"):
        assert save.as_bytes(one, fmt) == save.as_bytes(two, fmt)


def test_drawing_touches_no_global_state():
    code = (
        "import sys, matplotlib as mpl; before = dict(mpl.rcParams.copy());"
        "from gzsl_bench.plots import cost;"
        "cost.figure('t', [cost.Cost('a', 0, 1, 0, 2, 3.0)]);"
        "assert dict(mpl.rcParams.copy()) == before; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
