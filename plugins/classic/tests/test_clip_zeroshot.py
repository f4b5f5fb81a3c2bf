"""CLIP zero-shot: cosines, and nothing where there is no common space."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_classic.clip_zeroshot import SPEC

from gzsl_bench import NotApplicable, Task


def task_of(features, attributes):
    labels = torch.zeros(len(features), dtype=torch.int64)
    return Task(features, labels, attributes, torch.tensor([0]), torch.tensor([1, 2]))


def test_scores_are_cosines(train_on):
    draw = torch.Generator().manual_seed(0)
    test, attributes = torch.randn(6, 5, generator=draw), torch.randn(3, 5, generator=draw)
    scores = train_on(SPEC, task_of(torch.ones(4, 5), attributes))(test)
    for row, x in enumerate(test.double()):
        for c, a in enumerate(attributes.double()):
            assert float(scores[row, c]) == pytest.approx(float(x @ a / x.norm() / a.norm()))


def test_another_width_is_another_space(train_on):
    with pytest.raises(NotApplicable, match="features have 5 dimensions and class embeddings 4"):
        train_on(SPEC, task_of(torch.ones(4, 5), torch.ones(3, 4)))
