"""An easy task with a known answer, and a way to train on it without the harness."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from gzsl_bench import MethodSpec, Run, Task


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors: a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Reports:
    """What a run reported."""

    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    checkpoints: dict[int, Any] = field(default_factory=dict)
    progressed: list[tuple[int, int]] = field(default_factory=list)

    def log(self, step, values):
        self.logged.append((step, values))

    def checkpoint(self, number, scorer):
        self.checkpoints[number] = scorer

    def progress(self, done, total):
        self.progressed.append((done, total))


@dataclass
class Trained:
    """A trained method: scores of its last checkpoint, and what it reported."""

    scorer: Any
    reports: Reports

    def __call__(self, features):
        with torch.no_grad():
            return self.scorer(features)


@pytest.fixture
def train_on():
    """``train_on(SPEC, task, seed=0, **config)``."""

    def train(spec: MethodSpec, task: Task, seed: int = 0, **config) -> Trained:
        settings = spec.factory.Config(**config)
        reports = Reports()
        scorer = spec.factory(settings).fit(task, Run(seed, task.device, settings, reports))
        return Trained(scorer or reports.checkpoints[max(reports.checkpoints)], reports)

    return train


@pytest.fixture
def easy():
    """(task, test features, test labels): 14 classes of 10 binary attributes, 4 of them unseen.

    Rows are a linear image of their class's attributes plus noise, cut off at 0, at unit length.
    Every attribute is had by some seen classes and lacked by others; unseen ids are scattered.
    """
    draw = torch.Generator().manual_seed(5)
    classes, width, dim = 14, 10, 40
    unseen = torch.tensor([1, 4, 8, 13])
    seen = torch.tensor([c for c in range(classes) if c not in unseen.tolist()])
    while True:
        attributes = (torch.rand(classes, width, generator=draw) < 0.5).float()
        telling = attributes[seen].mean(0)
        if len(attributes.unique(dim=0)) == classes and bool(((telling > 0) & (telling < 1)).all()):
            break
    mix = torch.randn(width, dim, generator=draw)

    def rows(labels):
        noise = 0.4 * torch.randn(len(labels), dim, generator=draw)
        features = (attributes[labels] @ mix + 0.5 + noise).clamp(min=0)
        return features / features.norm(dim=1, keepdim=True)

    labels = seen[torch.randint(len(seen), (400,), generator=draw)]
    labels[: len(seen)] = seen
    answers = torch.randint(classes, (300,), generator=draw)
    return Task(rows(labels), labels, attributes, seen, unseen), rows(answers), answers
