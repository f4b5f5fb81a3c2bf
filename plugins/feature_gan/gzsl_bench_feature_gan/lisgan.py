"""LisGAN: generated features lie near the soul samples of their class (Li et al., CVPR 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from gzsl_bench import Task, stackable
from gzsl_bench.stacked import Batch, GANNetworks, Maker, Terms, seen_places
from gzsl_bench_feature_gan.config import spec
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

    def __init__(self, make: Maker) -> None:
        task = make.task
        self.souls, self.places = task.shared(soul_samples), seen_places(task)
        self.attributes = task.attributes[task.seen.repeat_interleave(make.config.class_samples)]
        self.sample_weight, self.class_weight = make.values("sample_souls", "class_souls")


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
    recipes = RECIPES

    def generator_draws(self, networks: GANNetworks) -> int:
        """With as much noise as the class means take beside a batch."""
        return 1 + math.ceil(len(networks.parts.attributes) / networks.make.batch)

    def parts(self, make: Maker) -> Souls:
        """The souls."""
        return Souls(make)

    def more_terms(self, networks: GANNetworks) -> Terms:
        """Those of f-CLSWGAN and the two distances."""
        souls, classification = networks.parts, super().more_terms(networks)

        def terms(generated: torch.Tensor, batch: Batch) -> Mapping[str, Any]:
            of_samples = nearest(generated, souls.souls[souls.places[batch.labels]]).mean(1)
            noise = batch.noises[:, 1:].flatten(1, 2)[:, : len(souls.attributes)]
            made = networks.generator(noise, souls.attributes.expand(len(noise), -1, -1))
            means = made.view(len(made), len(souls.souls), -1, made.shape[-1]).mean(2)
            return {
                **classification(generated, batch),
                "sample_souls": (souls.sample_weight, of_samples),
                "class_souls": (souls.class_weight, nearest(means, souls.souls[None]).mean(1)),
            }

        return terms


SPEC = spec(
    name="lisgan",
    factory=LisGAN,
    citation="Li et al., Leveraging the Invariant Side of Generative Zero-Shot Learning, CVPR 2019",
    fidelity="official-code",
    summary="f-CLSWGAN whose features must lie near the mean of a cluster of their class.",
)
