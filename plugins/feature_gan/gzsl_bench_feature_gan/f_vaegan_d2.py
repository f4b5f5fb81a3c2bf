"""f-VAEGAN-D2, the transductive model: a second critic sees unlabelled features (Xian et al.)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, Task, stackable
from gzsl_bench.stacked import (
    Batch,
    GANNetworks,
    Generators,
    Maker,
    Phase,
    Terms,
    frozen,
    integers,
    normals,
    subsets_in_turn,
    uniforms,
)
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.f_vaegan import FVAEGAN, RECIPES, Encoder, FVAEGANConfig


class FVAEGAND2Config(FVAEGANConfig):
    """Hyper-parameters of the transductive f-VAEGAN-D2; defaults are CUB's."""

    unlabelled: float = stackable(10.0, "weight of the second critic's adversarial term", ge=0)
    unlabelled_classes: Literal["all", "unseen"] = Field(
        "all", description="classes of the features that it compares with unlabelled ones"
    )


class Parts(Encoder):
    """The encoder, and the critic of unlabelled features.

    Attributes:
        judge: a critic of features alone.
        unlabelled: [R] weight of its term in the generator's loss.
    """

    def __init__(self, make: Maker) -> None:
        super().__init__(make)
        hidden = make.config.critic_hidden
        self.judge = make.critic("unlabelled/critic", make.features, 0, hidden)
        (self.unlabelled,) = make.values("unlabelled")


class FVAEGAND2(FVAEGAN):
    """f-VAEGAN, and D2: a WGAN-GP's critic of unlabelled test features, without class embeddings.

    It takes as many steps as the first critic, each on a batch of unlabelled features and one of
    features generated from noise; the generator minimises its weight times -D2 of such features.

    Filled in: all values are those of the inductive model, and D2's weight is gamma.  In the paper
    D2 sees unlabelled features of unseen classes alone; here those of seen classes are among them
    and nothing tells which, so features are generated of all classes, each as often as another
    (``unlabelled_classes: unseen`` as in the paper).
    """

    Config = FVAEGAND2Config

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The inductive model's values of ``dataset``; CUB's where there are none."""
        values = RECIPES.get(dataset.name, {})
        return {**values, "unlabelled": values["gamma"]} if "gamma" in values else values

    def parts(self, make: Maker) -> Parts:
        """With the second critic."""
        return Parts(make)

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """For every turn and the generator: unlabelled rows, classes, noise, mixes."""
        task, turns, width = networks.task, self.config.critic_steps, networks.generator.noise
        rows, device = len(unlabelled(task)), task.device
        batch = min(self.config.batch, rows)
        wanted = task.unseen if self.config.unlabelled_classes == "unseen" else None
        count = task.num_classes if wanted is None else wanted.numel()
        batches, classes, noises, mixes = (
            Generators(networks.runs, f"unlabelled/{purpose}")
            for purpose in ("batches", "classes", "noise", "interpolation")
        )

        def draw(steps: int) -> list[torch.Tensor]:
            places = integers(classes, count, (turns + 1, batch), steps, device)
            return [
                subsets_in_turn(batches, rows, batch, turns, steps, device),
                places if wanted is None else wanted[places],
                normals(noises, (turns + 1, batch, width), steps, device),
                uniforms(mixes, (turns, batch, 1), steps, device),
            ]

        return draw

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """The second critic's between the first one's and the generator's."""
        parts: Parts = networks.parts
        pool, (penalty,) = unlabelled(networks.task), networks.make.values("penalty")

        def of_judge(batch: Batch) -> dict[str, torch.Tensor]:
            rows, classes, noise, mix = map(batch.own_now, range(4))
            with torch.no_grad():
                generated = networks.generator(noise, networks.embeddings[classes])
            real, fake, slope = parts.judge.losses(pool[rows], generated, generated[..., :0], mix)
            loss = fake - real + penalty * slope
            return {"wasserstein": real - fake, "penalty": slope, "loss": loss}

        critic, generator = super().phases(networks)
        adam, loss = self.adam(networks, parts.judge.layers), self.in_turn(networks, of_judge)
        return [critic, Phase(adam, loss, "unlabelled/", self.config.critic_steps), generator]

    def more_terms(self, networks: GANNetworks) -> Terms:
        """The second critic's term."""
        parts: Parts = networks.parts

        def judged(generated: torch.Tensor, batch: Batch) -> Mapping[str, Any]:
            classes, noise = batch.own_now(1), batch.own_now(2)
            others = networks.generator(noise, networks.embeddings[classes])
            with frozen(*parts.judge.layers):
                term = -parts.judge(others, others[..., :0]).mean(1)
            return {"unlabelled": (parts.unlabelled, term)}

        return judged


def unlabelled(task: Task) -> torch.Tensor:
    """[M, D] the task's unlabelled features.

    Raises:
        ValueError: it has none.
    """
    if task.unlabelled is None:
        raise ValueError("a transductive method needs task.unlabelled, which is None")
    return task.unlabelled


SPEC = spec(
    name="f_vaegan_d2",
    factory=FVAEGAND2,
    citation="Xian et al., f-VAEGAN-D2: A Feature Generating Framework for Any-Shot Learning, "
    "CVPR 2019",
    setting="transductive",
    summary="f-VAEGAN with a second critic, of unlabelled test features.",
)
