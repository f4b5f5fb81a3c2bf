"""FREE: features refined towards class centres and embeddings (Chen et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    Batch,
    GANNetworks,
    Generators,
    Maker,
    Optimizer,
    Phase,
    Several,
    Terms,
    embed_in_chunks,
    frozen,
    integers,
    normals,
)
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig, AdaptiveVAEGAN, weighted_l1
from gzsl_bench_feature_gan.config import looks, spec
from gzsl_bench_feature_gan.refiner import Parts


class FREEConfig(AdaptiveConfig):
    """Hyper-parameters of FREE (released code: train_free.py); defaults are CUB's."""

    generator_hidden: int = Field(4096, ge=1, description="hidden units, of the refiner, too")
    epochs: int = Field(1002, ge=1, description="epochs; two of them are one of the released code")
    critic_steps: int = Field(1, ge=1, description="steps of the critic for one of the generator")
    samples: int = Field(700, ge=1, description="generated features of each unseen class")
    evaluate_every: int = looks(40)
    refined: float = stackable(1e-3, "weight of refined class embeddings' error", ge=0)
    refiner_lr: float = stackable(1e-4, "learning rate of the refiner", gt=0)
    freeze_refiner: bool = Field(
        False, description="the refiner learns from real features alone, not in generator steps"
    )
    centres: float = stackable(0.5, "weight of the margin loss of class centres", ge=0)
    margin: float = stackable(200.0, "its margin, in squared distances", ge=0)
    own_share: float = stackable(
        0.8, "share of the own centre's distance beside the other's (code: incenter_weight)", ge=0
    )
    other: Literal["random", "nearest"] = Field(
        "random", description="the other centre: of a random class, which may be the own, or near"
    )
    accumulated: bool = Field(
        True, description="the centres' gradients add up over the whole run, as released"
    )


_AWA: Mapping[str, Any] = {
    "lr": 1e-5, "samples": 4600, "margin": 50.0, "other": "nearest", "freeze_refiner": True,
}  # fmt: skip
#: The released scripts; aPY has none and takes AWA2's with the samples of Yue et al. (2024).
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"lr": 1e-4, "epochs": 1002, "samples": 700},
    "SUN": {
        "lr": 2e-4, "epochs": 1202, "batch": 512, "margin": 120.0, "refined": 0.1, "gamma": 1.0,
        "samples": 300, "classifier_lr": 5e-4,
    },
    "AWA1": {**_AWA, "epochs": 602, "own_share": 0.1},
    "AWA2": {**_AWA, "epochs": 802, "own_share": 0.5},
    "APY": {**_AWA, "epochs": 802, "own_share": 0.5, "samples": 400},
    "FLO": {
        "lr": 1e-4, "epochs": 1002, "batch": 256, "critic_steps": 5, "samples": 2400,
        "encoded_noise": False,
    },
}  # fmt: skip


class FREE(AdaptiveVAEGAN):
    """f-VAEGAN, and a refiner from features to class embeddings, trained with class centres.

    The refiner learns before every step of the critic and in the generator's.  The classifier sees
    features beside the refiner's hidden units and class embedding.  As released, where the refiner
    is frozen in the generator's step its Adam steps there all the same, without a gradient, and the
    centres' gradients are never cleared.

    Filled in: what the classifier sees is made from the refiner's mean; the released code draws
    noise there, for test features, too.  Heads of the refiner and terms that are computed and not
    used are left out, as is the factor before the critic's loss, of which Adam sees nothing.
    """

    Config = FREEConfig
    recipes = RECIPES

    def parts(self, make: Maker) -> Parts:
        """With refiner and centres."""
        return Parts(make)

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """The refiner's noise [R, turns + 1, B, A]; steps from the own to the other centre."""
        task, make, turns = networks.task, networks.make, self.config.critic_steps
        noises, steps_away = (
            Generators(networks.runs, name) for name in ("refiner/noise", "centres/other")
        )

        def draw(steps: int) -> list[torch.Tensor]:
            shape, others = (turns + 1, make.batch, make.attributes), (turns, make.batch)
            blocks = [normals(noises, shape, steps, task.device)]
            if self.config.other == "random":
                classes = task.seen.numel()
                blocks.append(integers(steps_away, classes, others, steps, task.device))
            return blocks

        return draw

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """The refiner's and the centres' before the critic's."""
        parts: Parts = networks.parts
        critic, generator = super().phases(networks)
        refiner = Phase(
            Several(parts.refiner_adam, parts.centre_adam),
            self.in_turn(networks, parts.losses),
            "refiner/",
            recalls=parts.centre_adam if self.config.accumulated else None,
        )
        return [replace(critic, before=[refiner]), generator]

    def more_terms(self, networks: GANNetworks) -> Terms:
        """The refiner's error on what the critic judges."""
        parts: Parts = networks.parts
        constant = (parts.hidden, parts.heads) if self.config.freeze_refiner else ()

        def refined(generated: torch.Tensor, batch: Batch) -> Mapping[str, Any]:
            with frozen(*constant):
                _, found = parts.refine(generated, batch.own_now(0))
            return {"refined": (parts.refined, weighted_l1(found, batch.attributes))}

        return refined

    def optimizer(self, networks: GANNetworks) -> Optimizer:
        """The generator's, the encoder's and the refiner's."""
        return Several(super().optimizer(networks), networks.parts.refiner_adam)

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction:
        """Features, the refiner's hidden units and its class embedding side by side."""
        refined = networks.parts.of_run(run)
        return lambda features: embed_in_chunks(refined, features)


SPEC = spec(
    name="free",
    factory=FREE,
    citation="Chen et al., FREE: Feature Refinement for Generalized Zero-Shot Learning, ICCV 2021",
    summary="f-VAEGAN, and features refined towards class centres and class embeddings.",
)
