"""f-VAEGAN-D2, the transductive model: a second critic sees unlabelled features (Xian et al.)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    Critic,
    GANNetworks,
    Generators,
    Phase,
    Terms,
    frozen,
    normals,
    per_run,
    subsets,
)
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

    def __init__(
        self,
        runs: Sequence[Run],
        features: int,
        attributes: int,
        noise: int,
        config: FVAEGAND2Config,
        how: Mapping[str, Any],
    ) -> None:
        super().__init__(runs, features + attributes, config.encoder_hidden, noise, how)
        self.judge = Critic(runs, "unlabelled/critic", features, 0, config.critic_hidden, **how)
        self.unlabelled = self.gamma.new_tensor(per_run(runs, "unlabelled"))


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

    def encoder(
        self, runs: Sequence[Run], features: int, attributes: int, noise: int, how: dict[str, Any]
    ) -> Parts:
        """With the second critic."""
        return Parts(runs, features, attributes, noise, self.config, how)

    def draws(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> Callable[[int], list[torch.Tensor]]:
        """For every turn and the generator: unlabelled rows, classes, noise, mixes."""
        config: FVAEGAND2Config = self.config
        turns, rows = config.critic_steps, len(unlabelled(task))
        batch = min(config.batch, rows)
        wanted = task.unseen if config.unlabelled_classes == "unseen" else None
        count = task.num_classes if wanted is None else wanted.numel()
        batches, classes, noises, mixes = (
            Generators(runs, f"unlabelled/{purpose}")
            for purpose in ("batches", "classes", "noise", "interpolation")
        )
        device, dtype = task.device, task.features.dtype

        def draw(steps: int) -> list[torch.Tensor]:
            picked = subsets(batches, rows, batch, steps * turns, device)
            places = classes.block(
                lambda stream: torch.randint(count, (steps, turns + 1, batch), generator=stream),
                device,
            )
            width = networks.generator.noise
            mix = mixes.block(
                lambda stream: torch.rand(steps, turns, batch, 1, generator=stream), device
            )
            return [
                picked.view(steps, turns, len(runs), batch).transpose(1, 2),
                places if wanted is None else wanted[places],
                normals(noises, (turns + 1, batch, width), steps, device).to(dtype),
                mix.to(dtype),
            ]

        return draw

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """The second critic's between the first one's and the generator's."""
        config: FVAEGAND2Config = self.config
        parts: Parts = networks.encoder
        embeddings, pool = networks.embeddings, unlabelled(task)
        penalty = parts.unlabelled.new_tensor(per_run(runs, "penalty"))

        def of_judge(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            rows, classes, noise, mix = (block[:, turn] for block in drawn[3:])
            with torch.no_grad():
                generated = networks.generator(noise, embeddings[classes])
            real, fake, slope = parts.judge.losses(pool[rows], generated, generated[..., :0], mix)
            loss = fake - real + penalty * slope
            return {"wasserstein": real - fake, "penalty": slope, "loss": loss}

        critic, generator = super().phases(task, runs, networks)
        adam = self.adam(runs, parts.judge.layers, config.beta1)
        judge = Phase(adam, of_judge, "unlabelled/", config.critic_steps)
        return [critic, judge, generator]

    def step_terms(self, networks: GANNetworks, more: Terms, *drawn: torch.Tensor) -> Terms:
        """The second critic's term."""
        parts: Parts = networks.encoder
        classes, noise = drawn[1][:, -1], drawn[2][:, -1]

        def judged(
            generated: torch.Tensor, attributes: torch.Tensor, labels: torch.Tensor
        ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
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


SPEC = MethodSpec(
    name="f_vaegan_d2",
    factory=FVAEGAND2,
    citation="Xian et al., f-VAEGAN-D2: A Feature Generating Framework for Any-Shot Learning, "
    "CVPR 2019",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    setting="transductive",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="f-VAEGAN with a second critic, of unlabelled test features.",
)
