"""The handle a method is given for one training run, and what it hands back."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks import streams

if TYPE_CHECKING:
    import torch

    from gzsl_bench.hooks.config import Config

#: Any callable from features [N, D] to class scores [N, C], the higher the likelier.  A method that
#: needs regions or a second feature set is shown :class:`~gzsl_bench.hooks.images.Images` instead.
ScoreFunction: TypeAlias = "Callable[[Any], torch.Tensor]"

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, eq=False)
class Latents:
    """The space in which a method compares images and classes, to be looked at.

    Only ``gzsl-bench visualize`` and the conformance kit call it, after the checkpoint was scored.
    Calling it must change nothing, and the same call must give the same numbers: draw noise from a
    ``run.generator`` with a purpose of its own, made anew inside the call.  Checkpoints that pass
    the *same* object share one call.

    Attributes:
        visual: features [N, D] -> [N, K], what the method's decision on these images rests on.
        semantic: ids of classes [M] int64, one per wanted sample and repeated at will -> [M, K]
            samples made from the classes' embeddings, for classes seen and unseen alike.
    """

    visual: ScoreFunction
    semantic: ScoreFunction


@dataclass(frozen=True, eq=False)
class Scorer:
    """A scorer in two parts, for checkpoints that share an encoder.

    Attributes:
        embed: features [N, D] -> anything the second part understands.  Checkpoints that pass the
            *same* callable share one call: it runs once per run on the test features.
        score: embedded features -> class scores [N, C]; runs once per checkpoint.
        latents: what can be drawn of the space in between, or None; the scores never depend on it.
        state: gives the tensors from which :meth:`~gzsl_bench.hooks.method.Method.restore` makes
            this scorer again; only ``--keep-models`` calls it, and where it is None keeps the
            scorer's operations.
    """

    embed: ScoreFunction
    score: ScoreFunction
    latents: Latents | None = None
    state: Callable[[], Mapping[str, torch.Tensor]] | None = None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Both parts, one after the other."""
        return self.score(self.embed(features))


class RunSink(Protocol):
    """Where a run's reports go; the engine and the test kit each bring their own."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Keep training values of ``step``."""

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Score the model as it is now."""

    def progress(self, done: int, total: int) -> None:
        """Show how far the run is."""


class Run:
    """One seed of one configuration: streams to draw from and a place to report to.

    Attributes:
        seed: the seed of the run; methods draw through :meth:`generator`, not from it.
        device: where the task lives and where the method should compute.
        config: the configuration of this run (within a batch, stackable fields differ).
        precision: arithmetic the suite asks for, one of those the method's spec offers.
        failure: why the run was given up, or None.
    """

    def __init__(
        self,
        seed: int,
        device: torch.device,
        config: Config,
        sink: RunSink,
        *,
        alone: bool = True,
        precision: str = "float32",
    ) -> None:
        self.seed = int(seed)
        self.device = device
        self.config = config
        self.precision = precision
        self.failure: str | None = None
        self._sink = sink
        self._alone = alone
        self._last_checkpoint: int | None = None

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh CPU generator of the stream ``purpose``: calling twice restarts the stream.

        Draw in blocks and move the block to the device; the numbers are then the same everywhere.
        """
        return streams.generator(self.seed, purpose)

    def log(self, step: int, **values: float) -> None:
        """Report training values (losses, say) at ``step``; they become curves."""
        self._sink.log(
            _converted(
                int,
                step,
                "the step of run.log",
                "a whole number is expected, as in run.log(step, loss=...)",
            ),
            {
                name: _converted(float, value, f"{name!r} of run.log", "one number is expected")
                for name, value in values.items()
            },
        )

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Offer the model as it is now under ``number``.

        The harness scores at once and keeps no reference, so parameters may change afterwards.
        Scores that cannot be used (NaN, say) raise ``PluginError``; within a batch they end this
        run alone, and later checkpoints of it are ignored.
        Numbers increase and follow from the configuration (classifier epoch 17), never from the
        number of samples: a selection rule carries them from validation folds to the real task.
        """
        number = _converted(
            operator.index, number, "the number of a checkpoint", "a whole number is expected"
        )
        if self.failure is not None:
            return
        if self._last_checkpoint is not None and number <= self._last_checkpoint:
            raise PluginError(
                f"checkpoint numbers must increase, but {number} came after {self._last_checkpoint}"
            )
        self._last_checkpoint = number
        try:
            if not callable(scorer):
                raise PluginError(
                    f"{_described(scorer)} is no scorer; a scorer is a function from features"
                    " [N, D] to class scores [N, C]"
                )
            self._sink.checkpoint(number, scorer)
        except PluginError as error:
            if self._alone:
                raise
            self.fail(str(error))  # the others of the batch go on

    def progress(self, done: int, total: int) -> None:
        """Say how much of the run is done, in any unit; cheap enough for every epoch."""
        done, total = (
            _converted(
                int, value, "an argument of run.progress(done, total)", "a whole number is expected"
            )
            for value in (done, total)
        )
        self._sink.progress(done, total)

    def fail(self, reason: str) -> None:
        """Give up this run (its loss is NaN, say) while the others of the batch go on."""
        if self.failure is None:
            self.failure = reason

    @property
    def checkpoints_offered(self) -> int | None:
        """The number of the last checkpoint, or None before the first."""
        return self._last_checkpoint


def _converted(to: Callable[[Any], Number], value: Any, what: str, expected: str) -> Number:
    """What a method reports, as the number it has to be.

    Raises:
        PluginError: it is none.
    """
    try:
        return to(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise PluginError(f"{what} is {_described(value)}; {expected}") from error


def _described(value: Any) -> str:
    """A value in few words: its kind, and its shape where it has one."""
    if isinstance(value, str | int | float):
        return repr(value) if len(repr(value)) < 40 else f"a long {type(value).__name__}"
    shape = getattr(value, "shape", None)
    of = f" of shape {list(shape)}" if isinstance(shape, tuple) else ""
    return f"a {type(value).__name__}{of}"
