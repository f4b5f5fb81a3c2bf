"""LisGAN: generated features lie near the soul samples of their class (Li et al., CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import GANNetworks, Terms, per_run
from gzsl_bench_feature_gan.f_clswgan import FCLSWGAN, FCLSWGANConfig

#: Soul samples of a class, and what the released code begins its clustering with.
SOULS, STATE = 3, 3


class LisGANConfig(FCLSWGANConfig):
    """Hyper-parameters of LisGAN (released code: lisgan.py); defaults are CUB's."""

    seen_epochs: int = Field(100, ge=1, description="epochs of the seen classes' classifier")
    sample_souls: float = stackable(
        1e-3, "weight of a sample's distance to its class's souls", ge=0
    )
    class_souls: float = stackable(1e-2, "weight of a class mean's distance to its souls", ge=0)
    class_samples: int = Field(20, ge=1, description="features of a seen class in such a mean")
    classifier_epochs: int = Field(50, ge=1, description="epochs of the classifier")
    classifier_batch: int | None = Field(
        600, ge=1, description="rows in a step of the classifier; none: `samples`"
    )


def _values(
    lr: float, epochs: int, samples: int, sample: float, class_: float, nll: float = 0.01
) -> dict[str, Any]:
    return {
        "lr": lr, "epochs": epochs, "samples": samples, "classifier_batch": 2 * samples,
        "sample_souls": sample, "class_souls": class_, "classification": nll,
    }  # fmt: skip


#: The commands of the released README for generalized zero-shot learning; AWA2 takes AWA1's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": _values(1e-4, 56, 300, 1e-3, 1e-2),
    "SUN": _values(2e-4, 40, 400, 3e-5, 3e-1),
    "AWA1": _values(1e-5, 30, 1800, 3e-5, 1e-3),
    "AWA2": _values(1e-5, 30, 1800, 3e-5, 1e-3),
    "APY": _values(1e-5, 50, 1800, 3e-4, 3e-1),
    "FLO": _values(1e-4, 80, 1200, 3e-2, 1e-1, 0.1),
}


def soul_samples(task: Task) -> torch.Tensor:
    """[S, SOULS, D] means of clusters of each seen class's rows; repeated where rows are fewer."""
    # With pandas and scipy.stats behind it: seconds that every command would take to start.
    from sklearn.cluster import KMeans

    souls = []
    for label in task.seen.tolist():
        rows = task.features[task.labels == label]
        clusters = min(SOULS, len(rows))
        places = KMeans(clusters, n_init=10, random_state=STATE).fit_predict(rows.cpu().numpy())
        of = torch.from_numpy(places).to(rows.device)
        means = [rows[of == cluster].mean(0) for cluster in range(clusters)]
        souls.append(torch.stack(means + means[-1:] * (SOULS - clusters)))
    return torch.stack(souls)


def nearest(features: torch.Tensor, souls: torch.Tensor) -> torch.Tensor:
    """Squared distances [R, B] of features [R, B, D] to the nearest of souls [R or 1, B, K, D]."""
    return (features.unsqueeze(2) - souls).square().sum(-1).min(-1).values


class Souls:
    """What the generator is held to.

    Attributes:
        souls: [S, SOULS, D].
        attributes: [S * class_samples, A] class embeddings, class by class.
        sample_weight: [R].
        class_weight: [R].
    """

    def __init__(self, task: Task, runs: Sequence[Run], samples: int) -> None:
        self.souls = task.shared(soul_samples)
        self.attributes = task.attributes[task.seen.repeat_interleave(samples)]
        self.places = task.seen.new_zeros(task.num_classes)
        self.places[task.seen] = torch.arange(task.seen.numel(), device=task.device)
        self.sample_weight = task.features.new_tensor(per_run(runs, "sample_souls"))
        self.class_weight = task.features.new_tensor(per_run(runs, "class_souls"))


class LisGAN(FCLSWGAN):
    """f-CLSWGAN, and squared distances of samples and of class means to the nearest soul sample.

    Souls are means of three clusters of each seen class.  Every step of the generator makes 20
    features of every seen class beside its batch; their means are what the second distance is of.

    This is the inductive model, "First" in the released code.  Its second stage, which labels the
    test images by the classifier and trains on the surest of them, is transductive: see
    :mod:`.lisgan_cascade`.
    Which of the two the paper's numbers are of is not known.  As released but for
    ``evaluate_every``; see :class:`~.f_clswgan.FCLSWGAN`.
    """

    Config: ClassVar[type[LisGANConfig]] = LisGANConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's where there are none."""
        return RECIPES.get(dataset.name, {})

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """With as much noise as the class means take beside a batch."""
        rows = self.config.class_samples * task.seen.numel()
        self.generator_draws = 1 + -(-rows // min(self.config.batch, task.labels.numel()))
        super().fit_batch(task, runs)

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """Beside them the souls."""
        souls = Souls(task, runs, self.config.class_samples)
        return replace(super().networks(task, runs), encoder=souls)

    def generator_losses(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        noises: torch.Tensor,
        more: Terms,
    ) -> dict[str, torch.Tensor]:
        """Those of f-CLSWGAN and the two distances."""
        souls: Souls = networks.encoder

        def terms(
            generated: torch.Tensor, attributes: torch.Tensor, labels: torch.Tensor
        ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
            of_samples = nearest(generated, souls.souls[souls.places[labels]]).mean(1)
            rows = len(souls.attributes)
            noise = noises[:, 1:].flatten(1, 2)[:, :rows]
            made = networks.generator(noise, souls.attributes.expand(len(noise), -1, -1))
            means = made.view(len(made), len(souls.souls), -1, made.shape[-1]).mean(2)
            return {
                **more(generated, attributes, labels),
                "sample_souls": (souls.sample_weight, of_samples),
                "class_souls": (souls.class_weight, nearest(means, souls.souls[None]).mean(1)),
            }

        return super().generator_losses(networks, features, attributes, labels, noises, terms)


SPEC = MethodSpec(
    name="lisgan",
    factory=LisGAN,
    citation="Li et al., Leveraging the Invariant Side of Generative Zero-Shot Learning, CVPR 2019",
    version="1",
    fidelity="official-code",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="f-CLSWGAN whose features must lie near the mean of a cluster of their class.",
)
