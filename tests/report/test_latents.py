"""Latent spaces as figures: thinned out by class, measured whole, every point in the CSV."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from gzsl_bench.errors import SuiteError
from gzsl_bench.plots import latents as plot
from gzsl_bench.plots import save
from gzsl_bench.records.latents import KeptLatents
from gzsl_bench.results.latents import PARTS, Plane, flatten, measure, refuse_perplexity, thinned


def kept(images: int = 12, classes: int = 4, aligned: bool = True) -> KeptLatents:
    """Every class a cluster of its own; samples around the same places, or far away."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), images)
    middle = 10 * rng.normal(size=(classes, 5))
    visual, semantic = (middle[labels] + 0.3 * rng.normal(size=(len(labels), 5)) for _ in "vs")
    return KeptLatents(
        key="k", checkpoint=3, last=True, visual=visual, labels=labels,
        semantic=semantic if aligned else semantic + 200, classes=labels,
        seen=np.arange(2, classes), unseen=np.arange(2), predicted=labels, digest="",
    )  # fmt: skip


def test_what_is_measured():
    found = {part: measure("m", part, kept(images=30)) for part in PARTS}
    for part, measured in found.items():
        assert (measured.part, measured.images, measured.classes) == (part, 60, 2)
        assert measured.nearest == 100
        assert measured.mixing == pytest.approx(30 / 59, abs=0.06)
    apart = measure("m", "unseen", kept(images=30, aligned=False))
    assert apart.mixing == 0


def test_thinning_keeps_the_share_of_every_class():
    labels = np.array([3] * 60 + [1] * 30 + [8] * 9 + [2])
    assert thinned(labels, 100).tolist() == list(range(100))
    rows = thinned(labels, 50)
    # floor(50 * 60 / 100), floor(50 * 30 / 100), floor(50 * 9 / 100), and one of a single one.
    assert {c: int((labels[rows] == c).sum()) for c in (3, 1, 8, 2)} == {3: 30, 1: 15, 8: 4, 2: 1}
    assert len(set(rows.tolist())) == len(rows)
    assert np.array_equal(rows, thinned(labels, 50))


def test_laid_flat_neighbours_stay_neighbours():
    from gzsl_bench.scoring.latents import nearest_class_accuracy

    latents = kept(images=30)
    plane = flatten(measure("m", "unseen", latents), latents, perplexity=10)
    assert plane.visual.shape == plane.semantic.shape == (60, 2)
    flat = nearest_class_accuracy(plane.visual, plane.labels, plane.semantic, plane.sampled)
    assert flat == 1
    again = flatten(measure("m", "unseen", latents), latents, perplexity=10)
    assert np.array_equal(plane.visual, again.visual)
    fewer = flatten(measure("m", "unseen", latents), latents, perplexity=10, most=20)
    assert (len(fewer.visual), fewer.measured.images) == (20, 60)


def test_one_dimension_can_be_laid_flat():
    latents = kept(images=30)
    thin = KeptLatents(
        **{**vars(latents), "visual": latents.visual[:, :1], "semantic": latents.semantic[:, :1]}
    )
    assert np.isfinite(flatten(measure("m", "seen", thin), thin, 10).visual).all()


def test_a_perplexity_that_is_too_large_is_refused():
    labels, unseen = kept(images=3).labels, np.arange(2)
    refuse_perplexity(11.9, labels, unseen, 100, "CUB")
    with pytest.raises(SuiteError, match="of the unseen classes of CUB 6 images and as many"):
        refuse_perplexity(12, labels, unseen, 100, "CUB")
    with pytest.raises(SuiteError, match="2 images and as many .* by --points 2, which may be"):
        refuse_perplexity(4, labels, unseen, 2, "CUB")


def lightness(colour: str) -> float:
    r, g, b = (int(to_hex(colour)[i : i + 2], 16) / 255 for i in (1, 3, 5))
    y = sum(w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), (r, g, b), strict=True))  # fmt: skip
    return 116 * y ** (1 / 3) - 16


def test_the_modalities_differ_in_grey_and_in_shape_and_stand_out_from_white():
    assert lightness(plot.SEMANTIC["facecolor"]) - lightness(plot.VISUAL["color"]) > 40
    assert lightness(plot.SEMANTIC["edgecolor"]) < 40
    assert plot.SEMANTIC["marker"] != plot.VISUAL["marker"]


@pytest.fixture(scope="module")
def rows() -> list[plot.Row]:
    latents = kept(images=8)
    planes = [flatten(measure("m", part, latents), latents, 5) for part in PARTS]
    odd = "_a $label^ with | marks, and one that goes on for too long to be shown"
    return [plot.Row(label, 7, 3, "val", planes) for label in ("ACMR", odd)]


def test_the_figure_shows_every_point_and_says_what_it_shows(rows, tmp_path):
    made = plot.figure("CUB: latents", rows, 5)
    assert len(made.axes) == 4
    for axes, row_and_part in zip(made.axes, [(r, i) for r in rows for i in (0, 1)], strict=True):
        row, part = row_and_part
        drawn = [c for c in axes.collections if isinstance(c, PathCollection)]
        counts = dict.fromkeys(("#004488", "#ffd21f"), 0)
        for each in drawn:
            counts[to_hex(each.get_facecolor()[0])] += len(each.get_offsets())
        assert counts == {"#004488": 16, "#ffd21f": 16}
        assert PARTS[part] in axes.get_title(loc="left").lower()
        assert "2 classes, 16 images" in axes.get_title(loc="left")
        assert f"mixing {row.planes[part].measured.mixing:.2f}" in axes.get_xlabel()
    assert made.axes[0].get_ylabel() == "ACMR\nseed 7, checkpoint 3 (val)"
    assert "perplexity 5;" in made.get_supxlabel()
    assert "Checkpoints by val." in " ".join(made.get_supxlabel().split())
    legend = [text.get_text() for text in made.legends[0].get_texts()]
    assert [text.split(":")[0] for text in legend] == ["visual", "semantic"]
    save.write(tmp_path, "latents", made, plot.rows(rows))
    assert (tmp_path / "latents.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "latents.pdf").read_bytes()[:4] == b"%PDF"


def test_title_legend_and_panels_do_not_overlap(rows):
    made = plot.figure("CUB: latents of test images and of class samples", rows, 5)
    made.canvas.draw()
    title, legend = made._suptitle.get_window_extent(), made.legends[0].get_window_extent()
    first = made._suptitle._get_layout(made.canvas.get_renderer())[1][0]
    line = first[1][1]  # the height of the title's own line; what follows is room for the legend
    heading = made.axes[0]._left_title.get_window_extent()
    assert legend.y1 <= title.y1 - line + 1
    assert legend.y0 >= heading.y1
    assert made._supxlabel.get_window_extent().y0 >= 0


def test_the_data_hold_every_point(rows):
    found = plot.rows(rows)
    assert len(found) == 2 * 2 * 2 * 16
    assert list(found[0]) == ["method", "seed", "checkpoint", "rule", "part", "modality", "class",
                              "x", "y"]  # fmt: skip
    unseen = [r for r in found if r["part"] == "unseen" and r["method"] == "ACMR"]
    assert {(r["modality"], r["class"]) for r in unseen} == {
        (m, c) for m in ("visual", "semantic") for c in (0, 1)
    }
    x = [r["x"] for r in unseen if r["modality"] == "semantic"]
    assert x == pytest.approx(rows[0].planes[0].semantic[:, 0].tolist(), abs=1e-4)


def test_a_density_shows_where_many_points_lie_and_no_single_one():
    measured = measure("m", "unseen", kept(images=30))
    # A grid of 32 cells over 0 to 32: six images in cell (0, 0), four in (5, 5), one in a corner.
    visual = np.array([[0.2, 0.4]] * 6 + [[5.5, 5.5]] * 4 + [[32.0, 32.0]])
    semantic = np.array([[0.0, 0.0]] * 2 + [[31.5, 0.0]] * 9)
    plane = Plane(measured, visual, np.zeros(11, int), semantic, np.zeros(11, int))
    (one, centres, counts), (two, others, more) = plot.cells(plane)
    assert (one, two) == ("visual", "semantic")
    assert centres.tolist() == [[0.5, 0.5]]
    assert counts.tolist() == [6]
    assert others.tolist() == [[31.5, 0.5]]
    assert more.tolist() == [9]
    row = plot.Row("m", 0, 3, "last", [plane, plane])
    lines = plot.rows([row], density=True)
    assert [(x["modality"], x["points"], x["x"], x["y"]) for x in lines[:2]] == [
        ("visual", 6, 0.5, 0.5),
        ("semantic", 9, 31.5, 0.5),
    ]
    assert len(lines) == 4
    assert "class" not in lines[0]
    made = plot.figure("t", [row], 5, density=True)
    drawn = [c for c in made.axes[0].collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in drawn] == [1, 1]
    assert drawn[1].get_sizes()[0] == 1.5 * drawn[0].get_sizes()[0]
