"""E-PGN: one prototype a class, learnt in episodes that hold seen classes out (CVPR 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import (
    BatchedMethod,
    Config,
    DatasetInfo,
    NotApplicable,
    Run,
    Task,
    stackable,
)
from gzsl_bench.stacked import (
    Linear,
    Phase,
    Progress,
    StackedAdam,
    lanes,
    per_run,
    train_alternating,
)
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.episodes import draws, losses
from gzsl_bench_feature_gan.maps import Networks, nearest


class EPGNConfig(Config):
    """Hyper-parameters of E-PGN (released scripts); defaults are CUB's."""

    hidden: int = Field(1800, ge=1, description="hidden units of both maps")
    regressor_activation: Literal["tanh", "relu"] = Field(
        "tanh", description="of the hidden units of features -> embeddings"
    )
    regressor_dropout: float = Field(0.2, ge=0, lt=1, description="share of them dropped")
    critic_hidden: int = Field(1600, ge=1, description="hidden units of the discriminator")
    critic_dropout: float = Field(0.4, ge=0, lt=1, description="share of them dropped")
    init_std: float = Field(0.01, gt=0, description="of truncated normal weights; bias 0.01")
    held_out: int = Field(10, ge=1, description="seen classes that play unseen ones in an epoch")
    epochs: int = Field(15, ge=1, description="epochs; each is a checkpoint")
    episodes: int = Field(100, ge=1, description="steps on the other seen classes in an epoch")
    inner: int = Field(10, ge=1, description="steps on the held-out classes after them")
    batch: int = Field(32, ge=1, description="rows in a step; all where there are fewer")
    lr: float = stackable(5e-5, "learning rate; a tenth of it on held-out classes", gt=0)
    log_error: bool = Field(
        False,
        description="after each step one on the logarithm of prototypes' squared error, a part of"
        " what the released generator step minimises",
    )
    adversarial: bool = Field(
        False, description="match pairs of features and embeddings against a discriminator (paper)"
    )
    held_out_softmax: Literal["images", "classes"] = Field(
        "images", description="what the softmax of the steps on held-out classes goes over"
    )


#: The released scripts, as far as they are not CUB's; SUN and aPY have none and take CUB's, SUN
#: with as large a share of its classes held out.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "SUN": {"held_out": 50},
    "AWA1": {
        "critic_hidden": 1200, "epochs": 30, "episodes": 50, "inner": 100, "batch": 100,
        "critic_dropout": 0.7, "held_out_softmax": "classes",
    },
    "AWA2": {
        "critic_hidden": 1800, "epochs": 30, "episodes": 50, "inner": 30, "batch": 64,
        "critic_dropout": 0.5, "lr": 2e-4, "regressor_activation": "relu",
    },
    "FLO": {"critic_hidden": 1200, "epochs": 50, "regressor_activation": "relu"},
}  # fmt: skip


class EPGN(BatchedMethod):
    """Prototypes of classes made of their embeddings; the nearest one is a test image's class.

    An epoch holds some seen classes out.  Steps on the others: squared errors of both maps and
    cross-entropies of x . G(a_c) and F(x) . a_c.  Steps on the held-out ones: negative mean squared
    distances to all seen prototypes in a softmax, over the images of the step (scripts of CUB, AWA2
    and FLO) or over classes (AWA1's).  Batches hold no held-out class, cross-entropies are among
    all seen classes.  Class embeddings and features are as in the files; the paper's of CUB are
    sentences.

    No discriminator by default.  The release's are not the paper's: two that share nothing and end
    in ReLUs whose logarithms are taken, and every optimiser moves everything; what they come to
    rests on the logarithm of 0.  ``log_error`` is the part of that rule that needs no
    discriminator.  The paper's, of pairs (x, a) and (G(a), F(x)), trained in turn (``adversarial``,
    in the place of ``log_error``), tells one prototype a class from images, and both maps end
    constant.
    """

    Config = EPGNConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's where there are none."""
        return RECIPES.get(dataset.name, {})

    @classmethod
    def differs(cls, config: Any) -> str:
        """Whether pairs meet no discriminator."""
        return "" if config.adversarial else "no discriminator"

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; every epoch is a checkpoint."""
        if task.seen.numel() < 2:
            raise NotApplicable("E-PGN holds seen classes out, so there must be two of them")
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: EPGNConfig = self.config
        networks, progress = Networks(runs, task, config), Progress(runs, config.epochs)
        rates, maps = per_run(runs, "lr"), networks.generator + networks.regressor
        made = losses(task, networks, config.held_out_softmax)
        of_base, of_error, of_critic, of_maps, of_held_out = made

        def adam(layers: Sequence[Linear], factor: float = 1.0) -> StackedAdam:
            return StackedAdam([(layers, [rate * factor for rate in rates])])

        base, match = Phase(adam(maps), of_base, "base/"), adam(maps)
        episode = replace(base, repeat=config.episodes)
        if config.adversarial:
            critic = Phase(adam(networks.critic), of_critic, "critic/")
            episode = Phase(match, of_maps, "adversarial/", config.episodes, before=[base, critic])
        elif config.log_error:
            error = adam(networks.generator)
            episode = Phase(error, of_error, "log_error/", config.episodes, before=[base])
        inner = Phase(adam(networks.generator, 0.1), of_held_out, "held_out/", config.inner)

        def after_epoch(epoch: int) -> None:
            progress.advance(1)
            with torch.no_grad():
                every = networks.prototypes(task.attributes.expand(len(runs), -1, -1)).clone()
            for run, prototypes in zip(runs, every, strict=True):
                if not run.failure:
                    run.checkpoint(epoch, nearest(prototypes))

        train_alternating(
            runs, [episode, inner], epochs=config.epochs, steps=1,
            draw=draws(task, runs, config), after_epoch=after_epoch,
        )  # fmt: skip


SPEC = spec(
    name="epgn",
    version="3",
    factory=EPGN,
    citation="Yu et al., Episode-based Prototype Generating Network for Zero-Shot Learning, "
    "CVPR 2020",
    preprocessing="none",
    summary="One prototype a class, learnt in episodes in which seen classes play unseen ones.",
)
