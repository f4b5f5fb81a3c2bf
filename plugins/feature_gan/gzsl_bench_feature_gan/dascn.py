"""DASCN: a GAN of features and one of class embeddings, in a cycle (Ni et al., NeurIPS 2019)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    Critic,
    GANNetworks,
    Generators,
    Linear,
    Phase,
    class_means,
    frozen,
    per_run,
)
from gzsl_bench_feature_gan.f_clswgan import FCLSWGAN, RECIPES, FCLSWGANConfig


class DASCNConfig(FCLSWGANConfig):
    """Hyper-parameters of DASCN; defaults are CUB's of f-CLSWGAN, and what had to be filled in."""

    dual_hidden: int = Field(4096, ge=1, description="hidden units of features -> embeddings")
    dual_critic_hidden: int = Field(4096, ge=1, description="hidden units of its critic")
    dual: float = stackable(1.0, "weight of the embeddings' critic in the generator", ge=0)
    visual: float = stackable(0.01, "weight of class means' distances to real ones", ge=0)
    semantic: float = stackable(0.0, "weight of reconstructed embeddings' squared error", ge=0)


class Dual:
    """Features -> class embeddings, and the critic of these."""

    def __init__(
        self, runs: Sequence[Run], features: int, attributes: int, config: DASCNConfig, how: Any
    ) -> None:
        hidden, critic = config.dual_hidden, config.dual_critic_hidden
        self.layers = [
            Linear(runs, "dual/hidden", features, hidden, activation="leaky_relu", **how),
            Linear(runs, "dual/output", hidden, attributes, **how),
        ]
        self.critic = Critic(runs, "dual/critic", attributes, 0, critic, **how)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """[R, B, D] -> [R, B, A]."""
        return self.layers[1](self.layers[0](features))


class DASCN(FCLSWGAN):
    """f-CLSWGAN whose features lead back to a class embedding, and from there to features again.

    The primal generator makes x1 of an embedding a, the dual one a1 of x1, the primal one x2 of a1.
    The primal critic tells x1 and x2 from real features (the mean of both), given a; the dual one
    a1 and a0, which is made of real features, from embeddings.  Class means of x1 and x2 are held
    to those of real features, and both to be recognised by a frozen softmax of seen classes.

    No code was released, and the paper beyond its abstract was not read: this is our reading.
    Filled in: all weights, the conditions of the critics, fresh noise for x2, equal numbers of
    steps, and f-CLSWGAN's rates, epochs and final softmax.
    """

    Config = DASCNConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """f-CLSWGAN's values of ``dataset``; CUB's where there are none."""
        return RECIPES.get(dataset.name, {})

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """With noise for x2 in every step of the critic, and for x1 and x2 of the generators."""
        self.generator_draws = self.config.critic_steps + 2
        super().fit_batch(task, runs)

    def encoder(
        self, runs: Sequence[Run], features: int, attributes: int, noise: int, how: dict[str, Any]
    ) -> Dual:
        """The dual GAN."""
        return Dual(runs, features, attributes, self.config, how)

    def draws(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> Callable[[int], list[torch.Tensor]]:
        """Mixes [steps, R, 3 * turns, B, 1] for the penalties at x2, a1 and a0."""
        mixes, like = Generators(runs, "dual/interpolation"), task.features
        shape = 3 * self.config.critic_steps, min(self.config.batch, len(like)), 1
        return lambda steps: [
            mixes.block(
                lambda stream: torch.rand(steps, *shape, generator=stream), task.device
            ).to(like.dtype)
        ]  # fmt: skip

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """Both critics, then both generators."""
        config: DASCNConfig = self.config
        generator, critic, embeddings = networks.generator, networks.critic, networks.embeddings
        dual: Dual = networks.encoder
        turns, more = config.critic_steps, self.more_terms(task, runs)
        dual_weight, visual_weight, semantic_weight = (
            task.features.new_tensor(per_run(runs, name)) for name in ("dual", "visual", "semantic")
        )
        centres = class_means(task.features[None], task.labels[None], task.seen)[0][0]

        def critics(
            of: Critic, real: torch.Tensor, fakes: Sequence[torch.Tensor], given: torch.Tensor,
            mixes: Sequence[torch.Tensor], factor: torch.Tensor,
        ) -> dict[str, torch.Tensor]:  # fmt: skip
            found = [of.losses(real, *each) for each in zip(fakes, [given] * 2, mixes, strict=True)]
            of_real, of_fake, penalty = (sum(each) / 2 for each in zip(*found, strict=True))
            loss = of_fake - of_real + factor * penalty
            return {"wasserstein": of_real - of_fake, "penalty": penalty, "loss": loss}

        def of_critic(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            picked, (noise, again) = drawn[0][:, turn], (drawn[1][:, turn + n] for n in (0, turns))
            attributes = embeddings[task.labels[picked]]
            with torch.no_grad():
                first = generator(noise, attributes)
                second = generator(again, dual(first))
            mixes = drawn[2][:, turn], drawn[3][:, turn]
            real = task.features[picked]
            return critics(critic, real, (first, second), attributes, mixes, factors[0])

        def of_dual_critic(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            picked = drawn[0][:, turn]
            attributes, mix = embeddings[task.labels[picked]], drawn[3]
            with torch.no_grad():
                fakes = dual(generator(drawn[1][:, turn], attributes)), dual(task.features[picked])
            mixes = mix[:, turns + turn], mix[:, 2 * turns + turn]
            return critics(dual.critic, attributes, fakes, attributes[..., :0], mixes, factors[0])

        def of_generator(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            labels = task.labels[drawn[0][:, -1]]
            attributes, nothing = embeddings[labels], embeddings[labels][..., :0]
            with frozen(*critic.layers, *dual.layers, *dual.critic.layers):
                first = generator(drawn[1][:, -2], attributes)
                back = dual(first)
                made = first, generator(drawn[1][:, -1], back)
                scores = [critic(each, attributes).mean(1) for each in made]
                terms = {
                    "adversarial": -scores[0] - scores[1],
                    "dual": -dual.critic(back, nothing).mean(1),
                }
            means, present = zip(*(class_means(x, labels, task.seen) for x in made), strict=True)
            off = sum((mean - centres).square().sum(-1) for mean in means) / 2
            here = present[0].to(off.dtype)
            terms["visual"] = (off * here).sum(1) / here.sum(1)
            terms["semantic"] = (back - attributes).square().mean((1, 2))
            loss = terms["adversarial"] + dual_weight * terms["dual"]
            loss = loss + visual_weight * terms["visual"] + semantic_weight * terms["semantic"]
            named = [more(each, attributes, labels) for each in made]
            for name, (weight, value) in named[0].items():
                terms[name] = (value + named[1][name][1]) / 2
                loss = loss + weight * terms[name]
            return terms | {"loss": loss}

        def of_dual(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            picked = drawn[0][:, -1]
            attributes = embeddings[task.labels[picked]]
            with torch.no_grad():
                first = generator(drawn[1][:, -2], attributes)
            backs = dual(first), dual(task.features[picked])
            with frozen(*dual.critic.layers):
                terms = [-dual.critic(back, attributes[..., :0]).mean(1) for back in backs]
            error = (backs[0] - attributes).square().mean((1, 2))
            return {"loss": (terms[0] + terms[1]) / 2 + semantic_weight * error}

        def adam(layers: Sequence[Linear]) -> Any:
            return self.adam(runs, layers, config.beta1)

        return [
            Phase(adam(critic.layers), of_critic, "critic/", turns),
            Phase(adam(dual.critic.layers), of_dual_critic, "dual_critic/", turns),
            Phase(adam(generator.layers), of_generator, "generator/"),
            Phase(adam(dual.layers), of_dual, "dual/"),
        ]


SPEC = MethodSpec(
    name="dascn",
    factory=DASCN,
    citation="Ni et al., Dual Adversarial Semantics-Consistent Network for Generalized Zero-Shot "
    "Learning, NeurIPS 2019",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A GAN of features and one of class embeddings, each fed by the other.",
)
