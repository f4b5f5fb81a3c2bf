"""What is timed beside numpy solves the same problem, and a fit begins with nothing."""

from __future__ import annotations

import numpy as np
import torch
from gzsl_bench_eszsl import ESZSL

from benchmarks.closed_forms import fit, measure
from benchmarks.plugin_runs import random_task


def test_every_fit_is_timed_beside_numpy():
    task = random_task(24, 9, 12, 3, 200, "cpu")
    lines = list(measure(task, 1))
    assert [(what, other) for what, _, other, _ in lines] == [
        ("ESZSL", "X'X, solve"),
        ("ESZSL, 49 pairs of penalties", "X'X, 7 times solve"),
        ("SAE", "X'X, eigh"),
        ("SAE, 7 penalties", "X'X, eigh"),
    ]
    assert all(ours > 0 and numpys > 0 for _, ours, _, numpys in lines)
    assert not task._shared  # a fit begins with nothing


def test_a_fit_is_numpys_solve():
    task = random_task(24, 9, 12, 3, 200, "cpu")
    (scorer,) = fit(ESZSL, task, [{"feature_penalty": 2.0, "attribute_penalty": 0.5}])
    x, a = task.features.double().numpy(), task.attributes.double().numpy()
    seen = a[task.seen.numpy()]
    left = np.linalg.solve(x.T @ x + 2 * np.eye(24), x.T @ a[task.labels.numpy()])
    weights = left @ np.linalg.inv(seen.T @ seen + 0.5 * np.eye(9))
    torch.testing.assert_close(scorer(task.features), torch.from_numpy(x @ weights @ a.T))
