"""Whether the ids of the classes matter: exactly where that can be told, else in the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gzsl_bench.testing import tasks
from gzsl_bench.testing.report import Broken
from gzsl_bench.testing.trials import Trials

if TYPE_CHECKING:
    import torch

#: Seeds whose mean is compared, and how many times the variance of that mean a difference may be.
#: Of pure noise the ratio is 1 in the mean; 3 seeds and a handful of independent numbers among the
#: scores give less than one false alarm in ten thousand at 10.
SEEDS, RATIO = (0, 1, 2), 10.0
#: Two seeds are enough where the ratio is below this one: a difference that three would find shows
#: in two at two thirds of its ratio.
CLEAR = 2.0
#: A difference below this share of the scores' spread is no finding.
SMALL = 0.02


def moved(one: torch.Tensor | None, other: torch.Tensor | None) -> float:
    """Root mean square difference of scores [N, C], relative to their spread over the rows.

    A number per row decides nothing and does not count.  What is the same for all rows (a large
    negative number in place of a class that is ruled out) is no spread.
    """
    assert one is not None
    assert other is not None
    one, other = (x.double() - x.double().mean(1, keepdim=True) for x in (one, other))
    difference = float((one - other.to(one.device)).square().mean().sqrt())
    spread = float((one - one.mean(0)).square().mean().sqrt())
    return difference / spread if spread > 0 else float(difference > 0)


def class_order_matters(t: Trials, rounding: float) -> str | None:
    """Train with other class ids and compare.

    Raises:
        Broken: the ids matter.
    """
    base = t.steady()
    permuted = f"{base.shape}/permuted"
    ids = tasks.new_ids(tasks.make(base.shape).num_classes).tolist()
    what = "with other class ids"
    remedy = (
        "take classes from task.seen and task.unseen, whose ids come in any order, and embeddings"
        " from task.attributes[ids]"
    )

    def scores(shape: str, seed: int) -> torch.Tensor:
        found = t.other(what, shape, seed).trace.scores
        assert found is not None
        return found if shape == base.shape else found[:, ids]

    change = moved(scores(base.shape, 0), scores(permuted, 0))
    if change <= rounding:
        return "exactly" if change == 0 else "up to rounding"
    if t.spec.deterministic:
        raise Broken(
            f"{what} a class's scores move by {100 * change:.2g} % of their spread; {remedy}"
        )
    for seeds in (SEEDS[:2], SEEDS):
        before, after = (
            _stacked([scores(shape, seed) for seed in seeds]) for shape in (base.shape, permuted)
        )
        difference = float((before.mean(0) - after.mean(0)).square().mean())
        noise = float((before.var(0) + after.var(0)).mean()) / len(seeds)
        if difference <= CLEAR * noise:
            break
    spread = float(before.mean(0).var(0, correction=0).mean())
    if difference > RATIO * noise and difference > SMALL**2 * spread:
        raise Broken(
            f"{what} a class's scores, averaged over {len(seeds)} seeds, move by"
            f" {(difference / noise) ** 0.5 if noise else float('inf'):.2g} times what seeds"
            f" explain; {remedy}"
        )
    return f"in the mean over {len(seeds)} seeds, within what seeds explain"


def _stacked(scores: list[torch.Tensor]) -> torch.Tensor:
    """[R, N, C], centred and scaled row by row: only what decides counts."""
    import torch

    found = torch.stack([x.double().cpu() for x in scores])
    found = found - found.mean(2, keepdim=True)
    scale = found.square().mean(2, keepdim=True).sqrt()
    return found / scale.clamp_min(torch.finfo(torch.float64).tiny)
