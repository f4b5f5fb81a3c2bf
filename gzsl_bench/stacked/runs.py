"""Small helpers around a sequence of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from gzsl_bench.hooks.run import Run
from gzsl_bench.stacked.backend import backend_of


class HasStreams(Protocol):
    """Anything with named random streams; a :class:`~gzsl_bench.hooks.run.Run` is one."""

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh CPU generator of the stream ``purpose``."""


def lanes(runs: Sequence[Run], device: torch.device) -> list[list[Run]]:
    """Split ``runs`` into the stacks that are worth training as one on ``device``.

    A GPU takes all of them at once.  On a CPU the matrix products of one run already fill the
    cores, so stacking saves nothing but cache: there the runs are trained one after the other,
    which also makes each equal, bit for bit, to the same run trained alone.
    """
    if backend_of(device).together:
        return [list(runs)]
    return [[run] for run in runs]


def per_run(runs: Sequence[Run], field: str) -> list[float]:
    """The value of the configuration field ``field`` in every run."""
    return [float(getattr(run.config, field)) for run in runs]
