"""Gaussian terms by hand, the latent training set, and the training loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gzsl_bench.hooks.config import Config
from gzsl_bench.hooks.run import Run
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked import (
    Generators,
    Linear,
    Progress,
    StackedAdam,
    embed_in_chunks,
    first_rows,
    kl_divergence,
    l1_error,
    latent_training_set,
    normals,
    reparameterize,
    sampled_latents,
    train,
    wasserstein_distance,
)


class Sink:
    def __init__(self):
        self.logs, self.steps = [], []

    def log(self, step, values):
        self.logs.append((step, values))

    def checkpoint(self, number, scorer):
        raise AssertionError

    def progress(self, done, total):
        self.steps.append((done, total))


def make_runs(*seeds):
    return [Run(seed, torch.device("cpu"), Config(), Sink()) for seed in seeds]


def test_gaussian_terms_by_hand():
    mu = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]], dtype=torch.float64)
    logvar = torch.tensor([[[0.0, math.log(4)]], [[0.0, 0.0]]], dtype=torch.float64)
    noise = torch.tensor([[[0.5]], [[-1.0]]], dtype=torch.float64)
    z = reparameterize(mu, logvar, noise)
    torch.testing.assert_close(z[0, 0], torch.tensor([1.5, 4.0], dtype=torch.float64))
    torch.testing.assert_close(z[1, 0], torch.tensor([-1.0, -1.0], dtype=torch.float64))
    expected = 0.5 * (1 + 1 - 1 - 0) + 0.5 * (4 + 4 - 1 - math.log(4))
    assert kl_divergence(mu, logvar).tolist() == pytest.approx([expected, 0.0])
    zero = torch.zeros_like(mu)
    # Means differ by (1, 2), standard deviations by (0, 1); the second run coincides.
    distance = wasserstein_distance(mu, logvar, zero, zero)
    assert distance.tolist() == pytest.approx([math.sqrt(1 + 4 + 1), 0.0])
    assert l1_error(mu, zero).tolist() == [3.0, 0.0]


def test_first_rows_in_file_order_and_tiled():
    labels = torch.tensor([2, 0, 2, 0, 2, 5, 2])
    assert first_rows(labels, torch.tensor([0, 2]), 3).tolist() == [1, 3, 1, 0, 2, 4]
    assert first_rows(labels, torch.tensor([5]), 2).tolist() == [5, 5]
    assert first_rows(labels, torch.tensor([], dtype=torch.int64), 2).tolist() == []


def test_latent_training_set_by_hand():
    rng = np.random.default_rng(0)
    labels = torch.tensor([1, 3, 1, 1, 3, 1])
    task = Task(
        features=torch.tensor(rng.normal(size=(6, 4)), dtype=torch.float32),
        labels=labels,
        attributes=torch.tensor(rng.normal(size=(4, 4)), dtype=torch.float32),
        seen=torch.tensor([1, 3]),
        unseen=torch.tensor([0, 2]),
    )
    runs = make_runs(3, 8)
    latents, classes = latent_training_set(
        task,
        runs,
        lambda run, rows: rows * (run + 1),
        lambda run, rows: rows - run,
        seen_samples=3,
        unseen_samples=2,
    )
    assert classes.tolist() == [1, 1, 1, 3, 3, 3, 0, 0, 2, 2]
    assert latents.shape == (2, 10, 2)
    for r, run in enumerate(runs):
        image_noise = torch.randn(6, 1, generator=run.generator("latents/visual"))
        class_noise = torch.randn(4, 1, generator=run.generator("latents/attributes"))
        for row, source in enumerate([0, 2, 3, 1, 4, 1]):
            encoded = task.features[source] * (r + 1)
            expected = encoded[:2] + encoded[2:].exp() * image_noise[row]
            torch.testing.assert_close(latents[r, row], expected)
        for row, source in enumerate([0, 0, 2, 2]):
            encoded = task.attributes[source] - r
            expected = encoded[:2] + encoded[2:].exp() * class_noise[row]
            torch.testing.assert_close(latents[r, 6 + row], expected)
    assert not torch.equal(latents[0, 6], latents[0, 7])


def test_embedding_in_chunks():
    rows = torch.arange(10.0).view(5, 2)
    assert torch.equal(embed_in_chunks(lambda x: x * 2, rows, chunk=2), rows * 2)


def fit(runs, epochs=3, steps=4, poison=None):
    layer = Linear(runs, "a", 3, 1)
    optimizer = StackedAdam([([layer], [0.05] * len(runs))])
    noise = Generators(runs, "x")

    def draw(count):
        block = normals(noise, (5, 3), count)
        if poison is not None:
            block[1, poison] = math.nan
        return [block]

    def loss(weights, x):
        error = (layer(x) - x.sum(2, keepdim=True)).square().mean((1, 2))
        return {"error": error, "loss": weights[0] * error}

    progress = Progress(runs, epochs)
    train(
        runs,
        optimizer,
        epochs=epochs,
        steps=steps,
        weights=lambda epoch: [torch.full((len(runs),), float(epoch + 1))],
        draw=draw,
        loss=loss,
        after_epoch=lambda: progress.advance(1),
    )
    return layer


def test_loop_logs_means_and_progress():
    runs = make_runs(0, 1)
    layer = fit(runs)
    for run in runs:
        sink = run._sink
        assert [step for step, _ in sink.logs] == [1, 2, 3]
        assert sink.steps == [(1, 3), (2, 3), (3, 3)]
        for step, values in sink.logs:
            assert values["loss"] == pytest.approx(step * values["error"])
        assert sink.logs[-1][1]["error"] < sink.logs[0][1]["error"]
    alone = fit([make_runs(1)[0]])
    assert torch.equal(alone.flat[0], layer.flat[1])


def test_loop_gives_up_the_run_that_diverged_and_it_alone():
    runs, clean = make_runs(0, 1, 2), make_runs(0, 1, 2)
    hurt, untouched = fit(runs, poison=1), fit(clean)
    assert runs[1].failure == "loss is not finite in epoch 1"
    assert runs[0].failure is None
    assert runs[2].failure is None
    assert torch.equal(hurt.flat[[0, 2]], untouched.flat[[0, 2]])
    assert runs[1]._sink.logs == []
    assert runs[0]._sink.logs == clean[0]._sink.logs


def test_loop_ends_early_when_every_run_is_lost():
    (run,) = make_runs(0)
    fit([run], poison=0)
    assert run._sink.steps == [(1, 3)]


def test_sampled_latents_by_hand():
    """Class c has mean (c, -c) and logvar (0, log 2); the noise is one number per sample."""
    task = Task(
        features=torch.zeros(2, 3),
        labels=torch.tensor([0, 2]),
        attributes=torch.tensor([[0.0], [1.0], [2.0], [3.0]]),
        seen=torch.tensor([0, 2]),
        unseen=torch.tensor([1, 3]),
    )
    shown = []

    def encode(rows):
        shown.append(rows.flatten().tolist())
        zero = torch.zeros_like(rows)
        return torch.cat([rows, -rows, zero, zero + math.log(2)], dim=1)

    (run,) = make_runs(3)
    found = sampled_latents(task, run, torch.neg, encode)
    classes = torch.tensor([3, 0, 3, 1])
    noise = torch.randn(4, 1, generator=run.generator("visualize/attributes"))
    expected = torch.tensor([[3.0, -3], [0, 0], [3, -3], [1, -1]]) + noise * torch.tensor([1.0, 2])
    torch.testing.assert_close(found.semantic(classes), expected)
    assert shown == [[0, 1, 3]]  # each class once
    assert torch.equal(found.semantic(classes), found.semantic(classes))
    assert classes.tolist() == [3, 0, 3, 1]
    assert found.visual(torch.ones(2)).tolist() == [-1, -1]
