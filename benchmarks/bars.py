"""The bars that speed is held to, and how far a measurement is from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.measure import SHAPES, Step, step_counts
from benchmarks.plugin_runs import configure

#: Runs trained as one where a GPU is judged: ten seeds.
GPU_RUNS = 10


class Bar(NamedTuple):
    """A figure, its value, and the value that it should reach."""

    what: str
    reached: float
    wanted: float

    @property
    def verdict(self) -> str:
        """Whether the bar is reached, and the part of it that is missing or to spare."""
        met = "met" if self.reached >= self.wanted else "missed"
        return f"{met} ({100 * (self.reached / self.wanted - 1):+.0f} %)"


def bars(steps: Sequence[Step], dataset: str, gpu: bool) -> Iterator[Bar]:
    """The bars that the measured steps hold figures for.

    On a GPU ten runs are trained as one, on a CPU one run is trained alone.
    """
    runs = GPU_RUNS if gpu else 1
    there = {(s.stage, s.method, s.precision): s for s in steps if s.runs == runs}
    for method in dict.fromkeys(step.method for step in steps):
        vae = there.get(("vae", method, "float32"))
        last = there.get(("classifier", method, "float32"))
        if vae is not None and vae.share is not None:
            yield Bar(f"{method}, VAE step, share of the roofline", vae.share, 0.6 if gpu else 0.7)
        if last is not None:
            yield Bar(f"{method}, classifier step, times faster", last.faster, 200 if gpu else 8)
        # The CPU's bar is about ACMR alone.
        if vae is not None and last is not None and (gpu or method == "acmr"):
            counts = whole_counts(method, dataset)
            plain, ours = (
                sum(n * getattr(step, name) for n, step in zip(counts, (vae, last), strict=True))
                for name in ("plain", "per_run")
            )
            what = f"{method}, whole training from these medians, times faster"
            yield Bar(what, plain / ours, 30 if gpu else 1.4)
        small = there.get(("vae", method, "bf16"))
        if vae is not None and small is not None and not gpu:
            yield Bar(f"{method}, VAE step, bf16 over float32", vae.seconds / small.seconds, 1.3)


def whole_counts(method: str, dataset: str) -> tuple[int, int]:
    """Steps of a whole training in the released configuration: autoencoders, classifier."""
    config: Any = configure(method, dataset)
    vae, classifier = step_counts(config, *SHAPES[dataset][2:])
    return config.epochs * vae, config.classifier_epochs * classifier
