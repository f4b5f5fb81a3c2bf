"""A support vector machine as the final classifier."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sklearn.svm import SVC

from gzsl_bench import Task

#: Rows scored at once: every pair of classes has a number a row, 257,000 of them on SUN.
CHUNK = 128


def svm_scores(
    rows: torch.Tensor, labels: torch.Tensor, task: Task, c: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Train scikit-learn's SVC with an RBF kernel of gamma 1 / width, one class against another.

    Args:
        rows: [N, D] training rows.
        labels: [N] their classes.
        task: says how many classes there are.
        c: the penalty.

    Returns:
        Rows [M, D] -> [M, C]: votes, ties broken by how sure they are; a class without rows is
        never the highest.
    """
    # Its own defaults: gamma was 1 / width then (now ``auto``).
    model = SVC(C=c, kernel="rbf", gamma="auto", decision_function_shape="ovr")
    model.fit(rows.cpu().numpy(), labels.cpu().numpy())

    def score(features: torch.Tensor) -> torch.Tensor:
        parts = [
            torch.from_numpy(model.decision_function(part.cpu().numpy()))
            for part in torch.split(features, CHUNK)
        ]
        votes = torch.cat(parts).to(features)
        if votes.ndim == 1:  # two classes alone: one number, for the second
            votes = torch.stack([-votes, votes], 1)
        scores = votes.new_full((len(votes), task.num_classes), float(votes.min()) - 1)
        scores[:, torch.from_numpy(model.classes_).to(features.device)] = votes
        return scores

    return score
