"""The contract of a method plugin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from gzsl_bench.hooks.config import Config
from gzsl_bench.hooks.config import Config as BaseConfig
from gzsl_bench.hooks.dataset import DatasetInfo
from gzsl_bench.hooks.run import Run, ScoreFunction
from gzsl_bench.hooks.task import Task

if TYPE_CHECKING:
    import torch

Fidelity: TypeAlias = Literal["official-code", "paper", "approximation"]
FIDELITIES: tuple[Fidelity, ...] = ("official-code", "paper", "approximation")


class Method(ABC):
    """A generalized zero-shot learner.  Subclass it, give it a ``Config`` and a ``fit``.

    One instance serves one unit of work and is then thrown away.
    """

    Config: ClassVar[type[Config]] = Config

    def __init__(self, config: BaseConfig) -> None:
        self.config: Any = config

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """Hyper-parameters this method uses on ``dataset`` unless the suite says otherwise."""
        return {}

    @classmethod
    def differs(cls, config: BaseConfig) -> str:
        """What this configuration leaves out of the publication; stands under every table.

        A few words for what readers must know to compare numbers with printed ones ("frozen
        backbone"); "" for nothing.  It is no part of a cell's key.
        """
        return ""

    @classmethod
    def axes(cls, config: Any) -> Mapping[str, int]:
        """What the numbers of checkpoints count where that is more than one thing.

        Names and lengths, the slowest first: with ``{"gan_epoch": 56, "classifier_epoch": 25}``
        checkpoint (e - 1) * 25 + k is epoch k of the classifier after GAN epoch e, both from 1.
        Not every place need have a checkpoint.  Rules may then choose along one of them
        (``val.classifier_epoch``), others being at their last.

        Args:
            config: what the method is made with.
        """
        return {}

    @abstractmethod
    def fit(self, task: Task, run: Run) -> ScoreFunction | None:
        """Learn from ``task``.

        Either return a scorer (it becomes checkpoint 1, or follows those already offered), or call
        ``run.checkpoint`` along the way and return None.  Raise ``NotApplicable`` where the method
        cannot work on this kind of data.
        """

    def restore(self, state: Mapping[str, torch.Tensor]) -> ScoreFunction:
        """The scorer whose ``state`` this was, made with the configuration it was trained with.

        Optional: for methods whose scorers offer ``state``.  The tensors are on the device to
        compute on; nothing but them and ``self.config`` is at hand.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot restore a scorer")


class BatchedMethod(Method):
    """A method that trains many runs as one: other seeds, other values of its stackable fields.

    Attributes:
        stacks_on_cpu: on a CPU, too, where runs are otherwise trained one by one: for a method
            whose runs share work that costs more than what each adds (X'X for all penalties).
    """

    stacks_on_cpu: ClassVar[bool] = False

    @abstractmethod
    def fit_batch(self, task: Task, runs: Sequence[Run]) -> Sequence[ScoreFunction | None] | None:
        """Train all ``runs`` together, each as it would have been trained alone.

        ``run.config`` holds each run's own configuration; all agree on everything not stackable.
        """

    def fit(self, task: Task, run: Run) -> ScoreFunction | None:
        """A batch of one."""
        scorers = self.fit_batch(task, [run])
        return scorers[0] if scorers else None


@dataclass(frozen=True)
class MethodSpec:
    """What a plugin says about a method it offers.

    Attributes:
        name: how suites call it: lower case, letters, digits and underscores.
        factory: the ``Method`` subclass.
        citation: the publication, in one line.
        fidelity: how far to trust the implementation: ``official-code``, ``paper``, or
            ``approximation`` where something the sources leave open was filled in.
        preprocessing: what the harness does to features before the method sees them.
        deterministic: the seed changes nothing, so one cell is trained and n is 1.
        setting: ``transductive`` if it wants unlabelled test features; tables mark that.
        summary: one sentence.
        precisions: arithmetics it can train in, of ``float32``, ``tf32`` and ``bf16``; it finds the
            one asked for in ``run.precision``.
        latents: its scorers offer :class:`~gzsl_bench.hooks.run.Latents`, to be drawn by
            ``gzsl-bench visualize``.
        needs: what the task must hold besides features and class embedding: of ``regions``,
            ``second``, ``words``, ``groups``, ``class_names``; a suite whose data set lacks it is
            refused.  With ``regions`` or ``second`` scorers are shown
            :class:`~gzsl_bench.hooks.images.Images` instead of features.
        wants: the same, handed over where the data set has it.
        family: what it is grouped under in wide tables, as "Generative"; no part of its cells' key.
        version: stands in the key of its cells in place of the distribution's version, so that a
            release that changes nothing of this method trains none of its cells anew.
    """

    name: str
    factory: type[Method]
    citation: str
    fidelity: Fidelity
    preprocessing: str = "none"
    deterministic: bool = False
    setting: Literal["inductive", "transductive"] = "inductive"
    summary: str = ""
    precisions: tuple[str, ...] = ("float32",)
    latents: bool = False
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    version: str | None = None
    family: str = ""
