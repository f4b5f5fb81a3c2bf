"""DASCN: a GAN of features and one of class embeddings, in a cycle (Ni et al., NeurIPS 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from pydantic import Field

from gzsl_bench import stackable
from gzsl_bench.stacked import (
    Batch,
    Critic,
    GANNetworks,
    Generators,
    Linear,
    Loss,
    Maker,
    Phase,
    class_means,
    frozen,
    uniforms,
)
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.dual import Dual
from gzsl_bench_feature_gan.f_clswgan import FCLSWGAN, RECIPES, FCLSWGANConfig


class DASCNConfig(FCLSWGANConfig):
    """Hyper-parameters of DASCN; defaults are CUB's of f-CLSWGAN, and what had to be filled in."""

    dual_hidden: int = Field(4096, ge=1, description="hidden units of features -> embeddings")
    dual_critic_hidden: int = Field(4096, ge=1, description="hidden units of its critic")
    dual: float = stackable(1.0, "weight of the embeddings' critic in the generator", ge=0)
    visual: float = stackable(0.01, "weight of class means' distances to real ones", ge=0)
    semantic: float = stackable(0.0, "weight of reconstructed embeddings' squared error", ge=0)


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
    recipes = RECIPES

    def generator_draws(self, networks: GANNetworks) -> int:
        """Noise for x2 in every turn of the critic, and for x1 and x2 of the generators."""
        return int(self.config.critic_steps) + 2

    def parts(self, make: Maker) -> Dual:
        """The dual GAN."""
        return Dual(make)

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Mixes [steps, R, 3 * turns, B, 1] for the penalties at x2, a1 and a0."""
        mixes = Generators(networks.runs, "dual/interpolation")
        shape = 3 * self.config.critic_steps, networks.make.batch, 1
        return lambda steps: [uniforms(mixes, shape, steps, networks.task.device)]

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """Both critics, then both generators."""
        task, generator, critic = networks.task, networks.generator, networks.critic
        dual: Dual = networks.parts
        turns, more = self.config.critic_steps, self.more_terms(networks)
        dual_weight, visual_weight, semantic_weight = networks.make.values(
            "dual", "visual", "semantic"
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

        def of_critic(batch: Batch) -> dict[str, torch.Tensor]:
            with torch.no_grad():
                first = generator(batch.noise, batch.attributes)
                second = generator(batch.noises[:, turns], dual(first))
            mixes, fakes = (batch.mix, batch.own_now(0)), (first, second)
            return critics(critic, batch.features, fakes, batch.attributes, mixes, batch.factors[0])

        def of_dual_critic(batch: Batch) -> dict[str, torch.Tensor]:
            attributes = batch.attributes
            with torch.no_grad():
                fakes = dual(generator(batch.noise, attributes)), dual(batch.features)
            mixes = [batch.own[0][:, number * turns + batch.turn] for number in (1, 2)]
            nothing = attributes[..., :0]
            return critics(dual.critic, attributes, fakes, nothing, mixes, batch.factors[0])

        def of_generator(batch: Batch) -> dict[str, torch.Tensor]:
            attributes, nothing = batch.attributes, batch.attributes[..., :0]
            with frozen(*critic.layers, *dual.layers, *dual.critic.layers):
                first = generator(batch.noises[:, -2], attributes)
                back = dual(first)
                made = first, generator(batch.noises[:, -1], back)
                scores = [critic(each, attributes).mean(1) for each in made]
                terms = {
                    "adversarial": -scores[0] - scores[1],
                    "dual": -dual.critic(back, nothing).mean(1),
                }
            means, present = zip(
                *(class_means(x, batch.labels, task.seen) for x in made), strict=True
            )
            off = sum((mean - centres).square().sum(-1) for mean in means) / 2
            here = present[0].to(off.dtype)
            terms["visual"] = (off * here).sum(1) / here.sum(1)
            terms["semantic"] = (back - attributes).square().mean((1, 2))
            loss = terms["adversarial"] + dual_weight * terms["dual"]
            loss = loss + visual_weight * terms["visual"] + semantic_weight * terms["semantic"]
            named = [more(each, batch) for each in made]
            for name, (weight, value) in named[0].items():
                terms[name] = (value + named[1][name][1]) / 2
                loss = loss + weight * terms[name]
            return terms | {"loss": loss}

        def of_dual(batch: Batch) -> dict[str, torch.Tensor]:
            attributes = batch.attributes
            with torch.no_grad():
                first = generator(batch.noises[:, -2], attributes)
            backs = dual(first), dual(batch.features)
            with frozen(*dual.critic.layers):
                terms = [-dual.critic(back, attributes[..., :0]).mean(1) for back in backs]
            error = (backs[0] - attributes).square().mean((1, 2))
            return {"loss": (terms[0] + terms[1]) / 2 + semantic_weight * error}

        def phase(layers: Sequence[Linear], loss: Loss, name: str, repeat: int = 1) -> Phase:
            return Phase(self.adam(networks, layers), loss, name, repeat)

        in_turn, after = (partial(way, networks) for way in (self.in_turn, self.after_turns))
        return [
            phase(critic.layers, in_turn(of_critic), "critic/", turns),
            phase(dual.critic.layers, in_turn(of_dual_critic), "dual_critic/", turns),
            phase(generator.layers, after(of_generator), "generator/"),
            phase(dual.layers, after(of_dual), "dual/"),
        ]


SPEC = spec(
    name="dascn",
    factory=DASCN,
    citation="Ni et al., Dual Adversarial Semantics-Consistent Network for Generalized Zero-Shot "
    "Learning, NeurIPS 2019",
    summary="A GAN of features and one of class embeddings, each fed by the other.",
)
