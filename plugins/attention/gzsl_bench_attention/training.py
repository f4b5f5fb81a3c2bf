"""What the methods of this distribution share: batches of region maps, epochs, checkpoints.

The backbone is frozen: maps come from a file, a batch at a time, and the heads on them are trained
in full.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field, model_validator

from gzsl_bench import BatchedMethod, Config, Images, NotApplicable, Run, Task, stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import Generators, Phase, Progress, lanes, subsets, train_alternating
from gzsl_bench.stacked.adam import Optimizer, Several
from gzsl_bench_attention.backbone import Backbone, Tuned


class RegionConfig(Config):
    """What every method of this distribution has."""

    batch: int = Field(50, ge=1, description="images in a step; all of them where there are fewer")
    epochs: int = Field(20, ge=1, description="epochs of rows // batch steps each")
    lr: float = stackable(1e-4, "learning rate", gt=0)
    balanced: bool = Field(
        False,
        description="a batch has different classes, drawn evenly, and the same number of images of"
        " each; else images are drawn evenly",
    )
    embedding_dims: int | None = Field(
        None,
        ge=1,
        description="reduce class embeddings to so many principal components of all classes'",
    )
    block: int = Field(
        64, ge=1, description="images whose attention is held at once, to bound the memory"
    )

    finetune: bool = Field(
        False, description="train the backbone, too, on photographs in place of region maps"
    )
    backbone: Backbone | None = Field(None, description="what `finetune` trains")

    @model_validator(mode="after")
    def _trained(self) -> RegionConfig:
        if self.finetune != (self.backbone is not None):
            raise ValueError("finetune: true and backbone: {...} go together")
        return self


class Head(ABC):
    """The trainable part of a stack of runs.

    Attributes:
        optimizer: moves its parameters.
    """

    optimizer: Optimizer

    def ready(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps [..., P, C] as the head takes them; they are its own and may be changed in place."""
        return maps

    def more_draws(self, steps: int, batch: int) -> list[torch.Tensor]:
        """Further random numbers that a step takes, [steps, R, ...] each."""
        return []

    def begin_epoch(self, epoch: int) -> None:
        """Called before each epoch, numbered from 0."""
        return

    def begin_step(self, done: float) -> None:
        """Called before each step with the epochs that are done, parts of one among them."""
        return

    @abstractmethod
    def losses(
        self, maps: torch.Tensor, labels: torch.Tensor, *draws: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Named terms [R] of a step, of which ``loss`` is minimised.

        Args:
            maps: [R, B, P, C], made ready.
            labels: [R, B].
            draws: a step's slices of :meth:`more_draws`.
        """

    @abstractmethod
    def scores_of(self, run: int) -> ScoreFunction:
        """Maps [B, P, C], made ready, -> class scores [B, C] of one run, with its weights of now.

        The weights are copied: they move on, and scorers stay what they are.
        """


class TunedHead(Head):
    """A head behind a backbone that is trained with it; its maps are photographs."""

    def __init__(self, head: Head, tuned: Tuned) -> None:
        self.head, self.tuned = head, tuned
        self.optimizer = Several(head.optimizer, tuned)

    def more_draws(self, steps: int, batch: int) -> list[torch.Tensor]:
        """The head's."""
        return self.head.more_draws(steps, batch)

    def begin_epoch(self, epoch: int) -> None:
        """The head's."""
        self.head.begin_epoch(epoch)

    def begin_step(self, done: float) -> None:
        """The head's."""
        self.head.begin_step(done)

    def losses(
        self, maps: torch.Tensor, labels: torch.Tensor, *draws: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """The head's, on what the backbone sees in photographs [1, B, h, w, 3]."""
        return self.head.losses(self.head.ready(self.tuned.maps(maps[0])[None]), labels, *draws)

    def scores_of(self, run: int) -> ScoreFunction:
        """The head's, behind the backbone, which is not copied: whoever scores does so at once."""
        scores = self.head.scores_of(run)
        return lambda pixels: scores(self.head.ready(self.tuned.maps(pixels)))


class RegionMethod(BatchedMethod):
    """A head on region maps, trained by the batch and scored after each epoch.

    Attributes:
        trains_backbone: whether the publication does.
    """

    trains_backbone: ClassVar[bool] = True

    @classmethod
    def differs(cls, config: Config) -> str:
        """A frozen backbone where the paper trains it, and reduced embeddings."""
        assert isinstance(config, RegionConfig)
        found = []
        if config.finetune != cls.trains_backbone:
            how = ("frozen", "trains") if cls.trains_backbone else ("trained", "freezes")
            found.append(f"{how[0]} backbone, where the paper {how[1]} it")
        if config.embedding_dims is not None:
            found.append(f"{config.embedding_dims} principal components as class embedding")
        return "; ".join(found)

    @abstractmethod
    def head(self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor) -> Head:
        """A new head.

        Args:
            task: the task.
            runs: the stack.
            embeddings: [C, A] class embeddings, reduced where the configuration says so.
        """

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train the stacks that the device takes; backbones that are trained are no stack.

        Raises:
            NotApplicable: photographs stand where maps are due, or maps where photographs are.
        """
        config: RegionConfig = self.config
        assert task.regions is not None
        if (len(task.regions.shape) == 4) != config.finetune:
            raise NotApplicable(
                "finetune trains on photographs, and these are region maps"
                if config.finetune
                else "these are photographs, on which only finetune trains; region maps are due"
            )
        for stack in [[run] for run in runs] if config.finetune else lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: RegionConfig = self.config
        regions = task.regions
        assert regions is not None
        embeddings = reduced(task.attributes, config.embedding_dims)
        if config.backbone is None:
            head = self.head(task, runs, embeddings)
        else:  # a batch is one block: gradients reach the maps
            self.config = config.model_copy(update={"block": max(config.block, config.batch)})
            tuned = Tuned(config.backbone, regions)
            head = TunedHead(self.head(tuned.task(task), runs, embeddings), tuned)
        rows, dtype = task.labels.numel(), task.features.dtype
        batch = min(config.batch, rows)
        steps = max(1, rows // batch)
        batches = Generators(runs, "batches")
        classes = _by_class(task)
        progress = Progress(runs, config.epochs * steps)
        done = (number / steps for number in range(config.epochs * steps))

        def draw(count: int) -> list[torch.Tensor]:
            head.begin_step(next(done))
            if config.balanced:
                picked = batches.block(lambda stream: _balanced(classes, batch, count, stream))
            else:
                picked = subsets(batches, rows, batch, count)
            maps = head.ready(regions[picked].to(dtype))
            more = head.more_draws(count, picked.shape[-1])
            return [maps, task.labels[picked.to(task.device)], *more]

        def after_epoch(epoch: int) -> None:
            for number, run in enumerate(runs):
                if run.failure is None:
                    run.checkpoint(epoch, scorer(head, number, config.block, dtype))
            head.begin_epoch(epoch)
            progress.advance(steps)

        head.begin_epoch(0)
        train_alternating(
            runs,
            [Phase(head.optimizer, lambda factors, turn, *inputs: head.losses(*inputs))],
            epochs=config.epochs,
            steps=steps,
            draw=draw,
            after_epoch=after_epoch,
            at_once=1,  # a batch of maps is large, and none beside it; `begin_step` relies on it
        )


def scorer(head: Head, run: int, block: int, dtype: torch.dtype) -> ScoreFunction:
    """Scores of images, whose maps are gathered ``block`` at a time."""
    scores = head.scores_of(run)

    def score(images: Images) -> torch.Tensor:
        found = []
        for part in images.blocks(block):
            assert part.regions is not None
            found.append(scores(head.ready(part.regions[:].to(dtype))))
        return torch.cat(found)

    return score


def reduced(attributes: torch.Tensor, dims: int | None) -> torch.Tensor:
    """[C, K] principal components of class embeddings [C, A]; as they are where ``dims`` is None.

    A component's sign is that of its largest loading: it follows from the embeddings and not from
    the order of the classes.
    """
    if dims is None:
        return attributes
    if dims > min(len(attributes) - 1, attributes.shape[1]):
        raise NotApplicable(
            f"{dims} principal components of {len(attributes)} class embeddings of"
            f" {attributes.shape[1]} numbers are asked for"
        )
    centred = (attributes - attributes.mean(0)).double()
    loadings = torch.linalg.svd(centred, full_matrices=False).Vh[:dims]
    largest = loadings.gather(1, loadings.abs().argmax(1, keepdim=True))
    found: torch.Tensor = centred @ (loadings * largest.sign()).T
    return found.to(attributes.dtype)


def _by_class(task: Task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training rows class by class, where each seen class begins there, and how many it has."""
    labels = task.labels.cpu()
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels, minlength=task.num_classes)[task.seen.cpu()]
    return order, counts.cumsum(0) - counts, counts


def _balanced(
    classes: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    batch: int,
    steps: int,
    stream: torch.Generator,
) -> torch.Tensor:
    """[steps, N] rows: as many classes as fit, drawn evenly and each once, and rows of each.

    As in DAZLE's released loaders, with S classes: min(S, batch) of them, max(batch // S, 1) rows
    of each, drawn with replacement.  N may be smaller than ``batch``: 40 rows of 40 classes for 50.
    """
    order, starts, counts = classes
    number = len(starts)
    size, each = min(number, batch), max(batch // number, 1)
    # Keys of 53 bits: a tie, which the sort would break by class number, does not happen.
    keys = torch.rand(steps, number, generator=stream, dtype=torch.float64)
    chosen = keys.argsort(1)[:, :size].repeat_interleave(each, 1)
    place = torch.rand(steps, size * each, generator=stream, dtype=torch.float64)
    within = (place * counts[chosen]).long()  # a number below 1 never reaches the count
    return order[starts[chosen] + within]


def parameter(
    runs: Sequence[Run], name: str, shape: Sequence[int], std: float, like: torch.Tensor
) -> torch.Tensor:
    """[R, *shape] normal numbers of each run's stream ``init/<name>``; zeros where std is 0."""
    if not std:
        return like.new_zeros(len(runs), *shape)
    drawn = [torch.randn(*shape, generator=run.generator(f"init/{name}")) for run in runs]
    return torch.stack(drawn).to(like).mul_(std)


def layer(
    runs: Sequence[Run], name: str, inputs: int, outputs: int, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [R, outputs, inputs] and biases [R, outputs] that begin as torch's layers do.

    Uniform within 1 / sqrt(inputs), of each run's stream ``init/<name>``, weights first.
    """
    bound = inputs**-0.5
    drawn = [
        torch.rand(outputs * (inputs + 1), generator=run.generator(f"init/{name}")) for run in runs
    ]
    values = torch.stack(drawn).to(like).mul_(2).sub_(1).mul_(bound)
    weights, biases = values[:, : outputs * inputs], values[:, outputs * inputs :]
    return weights.reshape(len(runs), outputs, inputs).clone(), biases.clone()


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1; zeros stay."""
    return torch.nn.functional.normalize(vectors, dim=-1)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """[R] means over rows of the cross-entropy of logits [R, B, K] with labels [R, B]."""
    chosen = logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    return -chosen.mean(-1)
