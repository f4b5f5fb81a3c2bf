"""What a part of a step sees: some rows, and the random numbers that were drawn for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from gzsl_bench.hooks.task import Task


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of every run: of one turn of the critic, or of what comes after all its turns.

    Attributes:
        task: where the rows are from.
        embeddings: [C, A] class embeddings as the networks see them.
        picked: [R, B] places of the rows; after the turns those of the last one.
        noises: [R, n, B, Z] standard normal numbers, those of this turn first.
        mix: [R, B, 1] uniform numbers of this turn.
        turn: its number, from 0; after the turns how many there were.
        factors: [R] each, what the method's ``weights`` gave: the penalty's first.
        own: what the method's ``draws`` gave: [R, ...] each, of all turns.
    """

    task: Task
    embeddings: torch.Tensor
    picked: torch.Tensor
    noises: torch.Tensor
    mix: torch.Tensor
    turn: int
    factors: Sequence[torch.Tensor]
    own: Sequence[torch.Tensor]

    @cached_property
    def labels(self) -> torch.Tensor:
        """[R, B] ids of the rows' classes."""
        return self.task.labels[self.picked]

    @cached_property
    def features(self) -> torch.Tensor:
        """[R, B, D] real features."""
        return self.task.features[self.picked]

    @cached_property
    def attributes(self) -> torch.Tensor:
        """[R, B, A] embeddings of their classes."""
        return self.embeddings[self.labels]

    @property
    def noise(self) -> torch.Tensor:
        """[R, B, Z] the first of the noises."""
        return self.noises[:, 0]

    def own_now(self, number: int) -> torch.Tensor:
        """What is this turn's of the block ``number`` of ``own`` [R, turns, ...]."""
        return self.own[number][:, self.turn]
