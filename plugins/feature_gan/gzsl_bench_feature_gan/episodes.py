"""E-PGN's networks, and what they minimise in an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench import Run, Task
from gzsl_bench.stacked import Linear, dropout, frozen, seen_places


class Networks:
    """Embeddings -> features, features -> embeddings, and the discriminator of pairs of both."""

    def __init__(self, runs: Sequence[Run], task: Task, config: Any) -> None:
        features, attributes = task.features.shape[1], task.attributes.shape[1]
        pairs = features + attributes

        def layer(name: str, inputs: int, outputs: int, activation: Any) -> Linear:
            made = Linear(
                runs, name, inputs, outputs,
                activation=activation, device=task.device, dtype=task.features.dtype,
            )  # fmt: skip
            with torch.no_grad():
                for run, weight in zip(runs, made.weight, strict=True):
                    drawn, std = torch.empty(outputs, inputs), config.init_std
                    stream = run.generator(f"init/{name}")
                    weight.copy_(
                        torch.nn.init.trunc_normal_(drawn, 0, std, -2 * std, 2 * std, stream)
                    )
                made.bias.fill_(0.01)
            return made

        self.generator = [
            layer("generator/hidden", attributes, config.hidden, "tanh"),
            layer("generator/output", config.hidden, features, "relu"),
        ]
        self.regressor = [
            layer("regressor/hidden", features, config.hidden, config.regressor_activation),
            layer("regressor/output", config.hidden, attributes, "relu"),
        ]
        self.critic = [
            layer("critic/hidden", pairs, config.critic_hidden, "relu"),
            layer("critic/output", config.critic_hidden, 1, None),
        ]
        self.rates = config.regressor_dropout, config.critic_dropout

    def prototypes(self, embeddings: torch.Tensor) -> torch.Tensor:
        """[R, K, A] -> [R, K, D]."""
        return self.generator[1](self.generator[0](embeddings))

    def regress(self, features: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """[R, B, D] -> [R, B, A], by the hidden units that are kept [R, B, H]."""
        return self.regressor[1](dropout(self.regressor[0](features), kept, self.rates[0]))

    def judge(self, x: torch.Tensor, a: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Logits [R, B] of pairs being real, by the hidden units that are kept."""
        hidden = self.critic[0](torch.cat([x, a], -1))
        return self.critic[1](dropout(hidden, kept, self.rates[1])).squeeze(-1)


def cross_entropy(logits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """[R, B] of logits [R, B, K]."""
    return -logits.log_softmax(-1).gather(-1, places.unsqueeze(-1)).squeeze(-1)


def closeness(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Negative mean squared distances [..., B, K] of x [..., B, D] to prototypes [..., K, D]."""
    squares = prototypes.square().mean(-1).unsqueeze(-2) + x.square().mean(-1, keepdim=True)
    return 2 / x.shape[-1] * (x @ prototypes.mT) - squares


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
