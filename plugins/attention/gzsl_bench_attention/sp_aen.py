"""SP-AEN: semantics-preserving adversarial embedding (Chen et al., CVPR 2018), on features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gzsl_bench import BatchedMethod, DatasetInfo, MethodSpec, Run, Scorer, Task
from gzsl_bench import Config as BaseConfig
from gzsl_bench.stacked import (
    Generators,
    Linear,
    Phase,
    Progress,
    keeps,
    lanes,
    per_run,
    subsets,
    train_alternating,
)
from gzsl_bench.stacked.draws import subset_block
from gzsl_bench_attention.sp_aen_networks import Networks, SPAENConfig, mapped, ranking_loss
from gzsl_bench_attention.training import unit

#: Steps that are drawn for at once: masks of dropout take 2 MB a step and run.
AT_ONCE = 20


class SPAEN(BatchedMethod):
    """A map E of features to embeddings for recognition, matched with a map F that keeps more.

    First F and a decoder learn to reconstruct; then E learns to rank the right class first, while
    a critic tells its outputs from F's and E tries to make that impossible.  Scores are E(x) . a_c
    with class embeddings of length 1.

    Kept: both stages, E, F, the critic with its sigmoid and the penalty before it, the ranking loss
    of one violating class, initial weights (MSRA), slope 0.3, rates, lengths and weights, clipping
    of every weight's and bias's gradient by itself, decay of weights before that, fresh dropout in
    each step of the critic, E and F on the same images.

    Left out, as features are frozen and there are no images: ten crops of an image, F's CaffeNet
    features, the image generator behind the decoder and the pixels' loss.  Instead F takes the same
    features of length 1 as E, and the decoder gives them back: the squared distance has the weight
    of the comparator's features.

    Otherwise than released: rates fall to a tenth in the second half of each stage, as a schedule
    there asks for, whose counter of steps nothing moves; batches are independent random subsets,
    not passes; normal numbers of initial weights are not truncated.
    """

    Config = SPAENConfig

    @classmethod
    def differs(cls, config: BaseConfig) -> str:
        """What is reconstructed."""
        return "reconstructs features, where the paper reconstructs images"

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """Attributes of CUB are clipped, as released; all else is the same everywhere."""
        of_cub = (dataset.name, dataset.attributes) == ("CUB", "att")
        return {"clip_negative": True} if of_cub else {}

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train the stacks that the device takes."""
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: SPAENConfig = self.config
        x, first = unit(task.features), config.reconstruction_epochs
        classes = unit(task.attributes.clamp(min=0) if config.clip_negative else task.attributes)
        networks = Networks(runs, x, classes.shape[1], config)
        progress = Progress(runs, first + config.epochs)
        rows, batch = len(x), min(config.batch, len(x))
        picked = Generators(runs, "reconstruction")

        def after_reconstruction(epoch: int) -> None:
            progress.advance(1)
            if epoch == config.slower_after:
                networks.of_keeper.rescale(0.1)

        def after_epoch(epoch: int) -> None:
            progress.advance(1)
            for number, run in enumerate(runs):
                if run.failure is None:
                    layers = [layer.of(number) for layer in networks.embedder]
                    run.checkpoint(epoch, scorer(layers, classes))
            if epoch == first + config.slower_after:
                networks.of_embedder.rescale(0.1)
                networks.of_critic.schedule(0.1)

        train_alternating(
            runs, [reconstruction(runs, x, networks)], epochs=first, steps=config.steps,
            draw=lambda count: [subsets(picked, rows, batch, count, task.device)],
            after_epoch=after_reconstruction, at_once=AT_ONCE,
        )  # fmt: skip
        train_alternating(
            runs, embedding(task, runs, x, classes, networks, config),
            epochs=config.epochs, steps=config.steps, draw=Draws(runs, x, config),
            after_epoch=after_epoch, at_once=AT_ONCE, before=first,
        )  # fmt: skip


class Draws:
    """Random numbers of the second stage: rows of E and F, masks, mixes, violators."""

    def __init__(self, runs: Sequence[Run], features: torch.Tensor, config: SPAENConfig) -> None:
        self.features, self.config = features, config
        self.rows = [Generators(runs, name) for name in ("batches", "others")]
        self.masks = [Generators(runs, f"dropout/{name}") for name in ("inputs", "hidden")]
        self.mixes, self.violators = (
            Generators(runs, name) for name in ("interpolation", "violators")
        )

    def __call__(self, steps: int) -> list[torch.Tensor]:
        """Blocks [steps, R, ...]: all but the last hold the critic's turns and then E's."""
        (rows, width), turns = self.features.shape, self.config.critic_steps
        batch, device = min(self.config.batch, rows), self.features.device

        def picked(stream: torch.Generator) -> torch.Tensor:
            found = subset_block(rows, batch, steps * (turns + 1), stream)
            return found.view(steps, turns + 1, batch)

        def uniform(of: Generators, *shape: int) -> torch.Tensor:
            drawn = of.block(lambda stream: torch.rand(steps, *shape, generator=stream), device)
            return drawn.to(self.features.dtype)

        return [
            *(of.block(picked, device) for of in self.rows),
            *(
                keeps(of, (turns + 1, batch, units), self.config.dropout, steps, device)
                for of, units in zip(self.masks, (width, self.config.hidden), strict=True)
            ),
            uniform(self.mixes, turns, batch, 1),
            uniform(self.violators, batch),
        ]


def reconstruction(runs: Sequence[Run], x: torch.Tensor, networks: Networks) -> Phase:
    """The first stage: F and the decoder on features [N, D] of length 1."""
    by_error, by_length = (x.new_tensor(per_run(runs, n)) for n in ("reconstruction", "length"))

    def loss(_: Any, turn: int, picked: torch.Tensor) -> dict[str, torch.Tensor]:
        z = networks.keep(x[picked])
        error = (networks.decode(z) - x[picked]).square().sum(-1).mean(-1)
        length = (torch.linalg.vector_norm(z, dim=-1) - 1).square().mean(-1)
        total = by_error * error + by_length * length
        return {"reconstruction": error, "length": length, "loss": total}

    return Phase(networks.keeper_steps(), loss, "keeper/")


def embedding(
    task: Task,
    runs: Sequence[Run],
    x: torch.Tensor,
    classes: torch.Tensor,
    networks: Networks,
    config: SPAENConfig,
) -> list[Phase]:
    """The second stage: E, then the critic; F is done."""
    places = task.seen.new_zeros(task.num_classes)
    places[task.seen] = torch.arange(task.seen.numel(), device=task.device)
    own, seen, turns = places[task.labels], classes[task.seen], config.critic_steps
    critic, number = networks.critic, torch.arange(len(runs), device=task.device)[:, None]
    margin, ranking, adversarial, penalty = (
        x.new_tensor(per_run(runs, name))
        for name in ("margin", "ranking", "adversarial", "penalty")
    )
    with torch.no_grad():  # of every image, to be looked up
        kept = networks.keep(x.expand(len(runs), -1, -1))

    def embed(turn: int, drawn: Sequence[torch.Tensor]) -> torch.Tensor:
        return networks.embed(x[drawn[0][:, turn]], drawn[2][:, turn], drawn[3][:, turn])

    def of_critic(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            fake = embed(turn, drawn)
            real = kept[number, drawn[1 if config.other_images else 0][:, turn]]
            between = torch.lerp(fake, real, drawn[4][:, turn])
        distance = critic(real).mean(-1) - critic(fake).mean(-1)
        off = critic.penalty(between)
        loss = adversarial * (penalty * off - distance)
        return {"distance": distance, "penalty": off, "loss": loss}

    def of_embedder(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        z, right = embed(turns, drawn), own[drawn[0][:, turns]]
        hinge = ranking_loss(z @ seen.t(), right, drawn[5], margin, config.violators)
        score = critic(z, constant=True).mean(-1)
        loss = ranking * hinge - adversarial * score
        return {"ranking": hinge, "score": score, "loss": loss}

    return [
        Phase(networks.embedder_steps(), of_embedder, "embedder/"),
        Phase(networks.critic_steps(), of_critic, "critic/", turns),
    ]


def scorer(layers: Sequence[Linear], classes: torch.Tensor) -> Scorer:
    """E(x) . a_c of one run, with all units."""
    return Scorer(lambda x: mapped(layers, unit(x)[None])[0], lambda z: z @ classes.t())


SPEC = MethodSpec(
    name="sp_aen",
    factory=SPAEN,
    citation="Chen et al., Zero-Shot Visual Recognition using Semantics-Preserving Adversarial"
    " Embedding Networks, CVPR 2018",
    version="2",
    fidelity="approximation",
    family="Embedding",
    preprocessing="none",
    precisions=("float32", "tf32"),
    summary="A map to class embeddings, held by a critic to one that can reconstruct features.",
)
