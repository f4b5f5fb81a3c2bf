"""The plots of a page: which ones there are, what they are called, what they need to be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gzsl_bench.plots import (
    confusion,
    cost,
    curves,
    forest,
    gap,
    heatmap,
    ranks,
    sensitivity,
    training,
)
from gzsl_bench.plots.panels import rows
from gzsl_bench.plots.save import unused
from gzsl_bench.plots.sensitivity import Sensitivity
from gzsl_bench.report.cells import SIGN
from gzsl_bench.report.html.gather import Ground
from gzsl_bench.scoring.ranks import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Plot:
    """A figure to be made.

    Attributes:
        name: of its files: ``cub-curves``.
        heading: over it.
        caption: how to read it.
        alt: for those who cannot see it.
        draw: makes the figure.
        rows: its data, for the CSV file.
    """

    name: str
    heading: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    rows: Callable[[], Sequence[Mapping[str, Any]]]


def of_ranking(ranking: Ranking, rule: str) -> Plot:
    """The critical-difference diagram."""
    return Plot(
        "ranking",
        "Critical-difference diagram",
        "Bars join methods whose average ranks differ by less than the critical difference"
        " (Nemenyi, 5 %): they are not told apart.",
        "Critical-difference diagram: "
        + ", ".join(f"{n} {r:.2f}" for n, r in zip(ranking.methods, ranking.ranks, strict=True)),
        lambda: ranks.figure(f"{ranking.datasets} data sets, checkpoints by {rule}", ranking),
        lambda: ranks.rows(ranking),
    )


def of_leads(grounds: Sequence[Ground], rule: str) -> list[Plot]:
    """H of every method on every data set; nothing where no method has any."""
    panels = [forest.Panel(g.title, g.leads) for g in grounds if any(e.mean for e in g.leads)]
    if not panels:
        return []
    said = [
        f"{panel.title}: "
        + ", ".join(f"{e.label} {e.mean:.1f}" for e in panel.ordered if e.mean is not None)
        for panel in panels
    ]
    return [
        Plot(
            "h",
            f"H by {rule} with its 95 % interval",
            "The best on top; the band is its interval. Intervals are over seeds and classes, each"
            " method by itself: two that overlap may still be told apart, for both have the same"
            " classes. At the right the ranks that a method may have: compared with every other"
            " one on the seeds and classes both have, at 95 % after Bonferroni (no ranks where no"
            " two are told apart). Whether the lead is established stands in the cards above.",
            "; ".join(said),
            lambda: forest.figure(f"H by {rule}", panels),
            lambda: rows(panels),
        )
    ]


def of_gaps(grounds: Sequence[Ground], rule: str) -> list[Plot]:
    """What ``best_test`` adds to H by ``rule``; nothing where the suite has not both."""
    panels = [gap.Panel(g.title, g.gaps) for g in grounds if g.gaps]
    if not panels:
        return []
    return [
        Plot(
            "gap",
            "The selection gap",
            f"From H by {rule} (filled) to H at the checkpoint that is best on the test set (open),"
            " which most papers print; the difference, with its standard deviation over seeds,"
            " beside it. It is what the habit adds, and says nothing of the method.",
            "; ".join(
                f"{panel.title}: " + ", ".join(f"{e.label} {e.gap:+.1f}" for e in panel.ordered)
                for panel in panels
            ),
            lambda: gap.figure(f"H by {rule}, and what best_test adds", panels),
            lambda: rows(panels),
        )
    ]


def of_ground(ground: Ground, rule: str, taken: set[str]) -> list[Plot]:
    """The plots of one data set.

    Args:
        ground: its data.
        rule: the rule whose checkpoints are shown.
        taken: names that are in use; extended.
    """
    stem = unused(_plain(ground.title), taken)
    return [
        *_of_curves(ground, stem, rule),
        *_of_confusion(ground, stem, rule),
        *(_of_sweep(sweep, ground.title, stem, taken) for sweep in ground.sweeps),
        *_of_classes(ground, stem, rule),
        *_of_training(ground, stem),
        *_of_losses(ground, stem),
        *_of_costs(ground, stem),
    ]


def _of_curves(ground: Ground, stem: str, rule: str) -> Iterator[Plot]:
    if ground.curves:
        yield Plot(
            f"{stem}-curves",
            "Seen-unseen accuracy curve",
            "Each curve sweeps a bias between seen and unseen scores, at the checkpoint that"
            f" {rule} chose: what any calibration could reach. Marks are what the rules got;"
            f" filled ones are calibrated, {SIGN} from the validation folds. Upper right is"
            " better; AUSUC is the area.",
            f"Seen accuracy over unseen accuracy on {ground.title}: "
            + ", ".join(f"{c.label} AUSUC {c.area:.1f}" for c in ground.curves),
            lambda: curves.figure(
                f"{ground.title}: seen-unseen accuracy curves (checkpoints by {rule})",
                ground.curves,
            ),
            lambda: curves.rows(ground.curves),
        )


def _of_confusion(ground: Ground, stem: str, rule: str) -> Iterator[Plot]:
    if ground.confusion:
        yield Plot(
            f"{stem}-confusion",
            "Seen/unseen confusion",
            "What images of unseen and of seen classes are called, averaged per class. The"
            " first field is U on the left and S on the right; a large striped field says that"
            " the method's bias, not its knowledge, costs accuracy.",
            f"Stacked bars of right and wrong predictions on {ground.title}",
            lambda: confusion.figure(
                f"{ground.title}: where images end up (checkpoints by {rule})", ground.confusion
            ),
            lambda: confusion.rows(ground.confusion),
        )


def _of_classes(ground: Ground, stem: str, rule: str) -> Iterator[Plot]:
    if (data := ground.classes) is not None:
        yield Plot(
            f"{stem}-classes",
            "Accuracy by class",
            "Any class may be predicted; means over seeds. Classes are ordered from hard to"
            " easy by their mean over methods, unseen and seen ones apart; the CSV file has"
            " all of their names.",
            f"Heat map of {len(data.labels)} methods on {data.unseen.shape[1]} unseen and"
            f" {data.seen.shape[1]} seen classes of {ground.title}",
            lambda: heatmap.figure(
                f"{ground.title}: accuracy by class (checkpoints by {rule})", data
            ),
            lambda: heatmap.rows(data),
        )


def _of_training(ground: Ground, stem: str) -> Iterator[Plot]:
    if ground.training:
        yield Plot(
            f"{stem}-training",
            "H over the training",
            "H on the test set at every checkpoint, recorded and seen by no method. Where"
            " validation folds were trained, their mean H is what val chooses by.",
            f"H by checkpoint on {ground.title}, a panel per method",
            lambda: training.figure(
                f"{ground.title}: H by checkpoint", ground.training, "checkpoint", "H (%)"
            ),
            lambda: training.rows(ground.training),
        )


def _of_losses(ground: Ground, stem: str) -> Iterator[Plot]:
    if ground.logged:
        yield Plot(
            f"{stem}-losses",
            "What the methods logged",
            "The loss while training, on each method's own scale (logarithmic where it spans"
            " more than a factor of 50); every other logged value is in the records and in"
            " MLflow.",
            f"Loss over steps on {ground.title}, a panel per method",
            lambda: training.figure(
                f"{ground.title}: loss", ground.logged, "step", "logged value", share=False
            ),
            lambda: training.rows(ground.logged),
        )


def _of_costs(ground: Ground, stem: str) -> Iterator[Plot]:
    if ground.costs:
        yield Plot(
            f"{stem}-cost",
            "Cost against H",
            "Training and scoring of one seed; what runs trained as one took is shared out"
            " among them. Times of different hardware are not comparable: see Environments"
            " below.",
            f"H over seconds on {ground.title}: "
            + ", ".join(f"{c.label} {c.seconds:.0f} s" for c in ground.costs),
            lambda: cost.figure(f"{ground.title}: H against cost", ground.costs),
            lambda: cost.rows(ground.costs),
        )


def _of_sweep(sweep: Sensitivity, title: str, stem: str, taken: set[str]) -> Plot:
    moved = sensitivity.in_words(sweep)
    return Plot(
        unused(f"{stem}-sensitivity-{_plain(sweep.label)}", taken),
        f"Sensitivity of {sweep.label}",
        "One hyper-parameter at a time, all others as the method has them; the axis does not begin"
        " at 0. Shown, not ranked: to pick the best point here is to select on the test set. "
        + " ".join(moved),
        f"H of {sweep.label} on {title} over {', '.join(f.name for f in sweep.fields)}",
        lambda: sensitivity.figure(f"{title}: H of {sweep.label} by hyper-parameter", sweep),
        lambda: sensitivity.rows(sweep),
    )


def _plain(text: str) -> str:
    """A data set's name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "data"
