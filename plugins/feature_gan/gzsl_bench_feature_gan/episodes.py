"""E-PGN's episodes: what they draw, and what the maps minimise in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench import Run, Task
from gzsl_bench.stacked import Generators, frozen, keeps, seen_places
from gzsl_bench.stacked.draws import subset_block
from gzsl_bench_feature_gan.maps import Networks, closeness


def draws(task: Task, runs: Sequence[Run], config: Any) -> Callable[[int], list[torch.Tensor]]:
    """What an epoch draws: which classes it holds out, its batches, masks of dropout.

    Returns:
        Makes blocks with R runs, T episodes, batches of B and at most H held-out rows: [1, R, T, B]
        rows of other classes; [1, R, H] rows of held-out ones and [1, R, H] their shares in a mean;
        masks of the regressor's and of the critic's hidden units.
    """
    splits, regressor, critic = (
        Generators(runs, name) for name in ("episodes", "regressor/dropout", "critic/dropout")
    )
    labels, seen, device = task.labels.cpu(), task.seen.cpu(), task.device
    sizes = torch.bincount(labels)[seen].sort(descending=True).values
    held_out = min(config.held_out, len(seen) - 1)
    most = int(sizes[:held_out].sum())
    batch, turns = min(config.batch, len(labels) - most), config.episodes

    def split(stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        out = torch.isin(labels, seen[torch.randperm(len(seen), generator=stream)[:held_out]])
        rest, rows = (~out).nonzero()[:, 0], out.nonzero()[:, 0]
        picked = rest[subset_block(len(rest), batch, turns, stream)]
        # Filled up with rows of share 0: what runs hold out differs in size.
        share = (torch.arange(most) < len(rows)).to(task.features.dtype) / len(rows)
        return picked, rows[torch.arange(most) % len(rows)], share

    def draw(steps: int) -> list[torch.Tensor]:
        drawn = [split(stream) for stream in splits.streams]
        shapes = (turns, 3, batch, config.hidden), (turns, 3, batch, config.critic_hidden)
        return [
            *(torch.stack(part)[None].to(device) for part in zip(*drawn, strict=True)),
            keeps(regressor, shapes[0], config.regressor_dropout, 1, device),
            keeps(critic, shapes[1], config.critic_dropout, 1, device),
        ]

    return draw


def cross_entropy(logits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """[R, B] of logits [R, B, K]."""
    return -logits.log_softmax(-1).gather(-1, places.unsqueeze(-1)).squeeze(-1)


def among(logits: torch.Tensor, places: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """[R] mean over images of -log p(image | its class): a softmax over the images of a batch.

    Args:
        logits: [R, B, K] of B images with K classes.
        places: [R, B] of their classes among the K.
        share: [R, B] each one's part of the mean; one with part 0 is not there.
    """
    own = logits.gather(-1, places.unsqueeze(-1)).squeeze(-1)
    there = logits.masked_fill((share == 0).unsqueeze(-1), -torch.inf)
    whole = there.logsumexp(1).gather(-1, places)
    return ((whole - own) * share).sum(1)


def losses(task: Task, networks: Networks, over: str) -> tuple[Any, Any, Any, Any, Any]:
    """Of the base step, of its errors, the discriminator, both maps against it, held-out classes.

    Args:
        task: has the rows.
        networks: are trained.
        over: ``images`` or ``classes``: what the held-out classes' softmax goes over.
    """
    seen = task.attributes[task.seen]
    places = seen_places(task)

    def batch(turn: int, use: int, drawn: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        picked = drawn[0][:, turn]
        back = networks.regress(task.features[picked], drawn[3][:, turn, use])
        return task.features[picked], task.attributes[task.labels[picked]], back

    def of_base(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        x, a, back = batch(turn, 0, drawn)
        of = places[task.labels[drawn[0][:, turn]]]
        made = networks.prototypes(seen.expand(len(x), -1, -1))
        own = made.gather(1, of.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
        terms = {
            "features": (x - own).square().mean((1, 2)),
            "embeddings": (a - back).square().mean((1, 2)),
            "by_features": cross_entropy(x @ made.mT, of).mean(1),
            "by_embeddings": cross_entropy(back @ seen.t(), of).mean(1),
        }
        return terms | {"loss": torch.stack(list(terms.values())).sum(0)}

    def of_error(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        picked = drawn[0][:, turn]
        made = networks.prototypes(task.attributes[task.labels[picked]])
        squares = (task.features[picked] - made).square().sum((1, 2)) / picked.shape[1]
        # At no distance at all there is nothing to learn.
        return {"loss": squares.clamp(min=torch.finfo(squares.dtype).tiny).log()}

    def of_critic(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            x, a, back = batch(turn, 1, drawn)
            made = networks.prototypes(a)
        real = F.softplus(-networks.judge(x, a, drawn[4][:, turn, 0]))
        fake = F.softplus(networks.judge(made, back, drawn[4][:, turn, 1]))
        return {"loss": (real + fake).mean(1)}

    def of_maps(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        _, a, back = batch(turn, 2, drawn)
        with frozen(*networks.critic):
            score = networks.judge(networks.prototypes(a), back, drawn[4][:, turn, 2])
        return {"loss": F.softplus(-score).mean(1)}

    def of_held_out(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        x, of = task.features[drawn[1]], places[task.labels[drawn[1]]]
        made = networks.prototypes(seen.expand(len(x), -1, -1))
        logits = closeness(x, made)
        if over == "images":
            return {"loss": among(logits, of, drawn[2])}
        return {"loss": (cross_entropy(logits, of) * drawn[2]).sum(1)}

    return of_base, of_error, of_critic, of_maps, of_held_out
