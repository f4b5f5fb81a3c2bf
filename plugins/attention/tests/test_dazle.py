"""DAZLE beside a transcription of its sheet, image by image and attribute by attribute."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_attention.dazle import (
    DAZLE,
    SPEC,
    DAZLEConfig,
    attribute_vectors,
    class_scores,
    dazle_losses,
)
from gzsl_bench_attention.training import reduced

from gzsl_bench import DatasetInfo, NotApplicable
from gzsl_bench.data.known import KNOWN
from gzsl_bench.engine.audit.observe import RunSpec, Setup, observe
from gzsl_bench.stacked import in_blocks, unit_regions
from gzsl_bench.testing import tasks

RUNS, BATCH, REGIONS, CHANNELS, ATTRIBUTES, WORDS, CLASSES = 2, 5, 6, 4, 3, 7, 4
UNSEEN = torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
LABELS = torch.tensor([[0, 2, 2, 0, 2], [2, 0, 0, 0, 2]])
MARGIN = torch.tensor([1.0, 0.3], dtype=torch.float64)
WEIGHT = torch.tensor([0.1, 2.0], dtype=torch.float64)


def of_one_image(maps, words, matrices, classes, *, gate, unit_words):
    """[C] as the sheet's forward pass has it, steps 1 to 5."""
    by_score, by_region, by_attribute = matrices
    features = [f / f.norm() for f in maps]
    evidence = []
    for v in words:
        if unit_words:
            v = v / v.norm()
        score = torch.stack([v @ by_score @ f for f in features])
        attention = torch.softmax(torch.stack([v @ by_region @ f for f in features]), 0)
        h = sum(a * f for a, f in zip(attention, features, strict=True))
        beta = torch.sigmoid(v @ by_attribute @ h) if gate else 1.0
        evidence.append(beta * (attention * score).sum())
    return torch.stack([sum(z_i * e for z_i, e in zip(z, evidence, strict=True)) for z in classes])


def transcribed(run, maps, classes, how, words, *matrices):
    entropy, mass = 0.0, 0.0
    for image, label in zip(maps[run], LABELS[run].tolist(), strict=True):
        scores = of_one_image(image, words, matrices, classes, **how)
        entropy = entropy - torch.log(torch.softmax(scores, 0)[label]) / BATCH
        mass = mass + torch.softmax(scores + MARGIN[run] * UNSEEN, 0)[UNSEEN > 0].sum() / BATCH
    calibration = -torch.log(mass)
    return {
        "cross_entropy": entropy,
        "calibration": calibration,
        "loss": entropy + WEIGHT[run] * calibration,
    }


@pytest.mark.parametrize("block", [64, 2])
@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("unit_words", [True, False])
def test_losses_and_gradients_are_those_of_the_sheet(
    drawn, same_gradients, gate, unit_words, block
):
    """With attention computed anew by blocks of images in the backward pass, too."""
    maps = drawn("maps", RUNS, BATCH, REGIONS, CHANNELS)
    classes = torch.nn.functional.normalize(drawn("classes", CLASSES, ATTRIBUTES), dim=1)
    leaves = [drawn("words", RUNS, ATTRIBUTES, WORDS)]
    leaves += [drawn(name, RUNS, WORDS, CHANNELS) for name in ("one", "two", "three")]
    how = {"gate": gate, "unit_words": unit_words}
    ready = unit_regions(maps.clone())

    def terms(words, *matrices):
        scores = in_blocks(
            lambda part, vectors: class_scores(part, vectors, classes, gate),
            ready,
            [attribute_vectors(words, matrices, unit_words)],
            block,
        )
        return dazle_losses(scores, LABELS, UNSEEN, MARGIN, WEIGHT)

    if gate:
        same_gradients(leaves, terms, lambda run, *own: transcribed(run, maps, classes, how, *own))
    else:  # the third matrix plays no part
        *rest, third = leaves
        same_gradients(
            rest,
            lambda *own: terms(*own, third),
            lambda run, *own: transcribed(run, maps, classes, how, *own, third[run]),
        )


def test_released_values():
    def values(name):
        config = DAZLEConfig.model_validate(dict(DAZLE.defaults(DatasetInfo(name, "maps", "att"))))
        return config.model_dump()

    of = {name: values(name) for name in (*KNOWN, "another")}
    assert of["CUB"] == of["another"]
    assert (of["CUB"]["lr"], of["CUB"]["batch"], of["CUB"]["epochs"]) == (1e-4, 50, 20)
    assert (of["CUB"]["momentum"], of["CUB"]["weight_decay"]) == (0.9, 1e-4)
    assert (of["CUB"]["calibration"], of["CUB"]["margin"], of["CUB"]["gate"]) == (0.1, 1.0, True)
    assert (of["SUN"]["epochs"], of["SUN"]["gate"], of["SUN"]["balanced"]) == (100, False, True)
    assert of["AWA1"] == of["AWA2"]
    assert (of["AWA2"]["momentum"], of["AWA2"]["unit_words"]) == (0.0, True)
    assert of["FLO"]["words"] == "random"


def test_scores_of_unseen_classes_get_the_margin_in_testing_too():
    setup = Setup.of_data(SPEC, tasks.make(tasks.EASY), 0)
    found = {}
    for margin in (0.0, 3.0):
        config = DAZLEConfig(epochs=1, calibration=0.0, margin=margin)
        (trace,) = observe(DAZLE, setup, [RunSpec(0, config)])
        assert trace.failure is None
        found[margin] = trace.scores
    moved = found[3.0] - found[0.0]
    torch.testing.assert_close(moved[:, setup.task.unseen], torch.full((120, 8), 3.0))
    torch.testing.assert_close(moved[:, setup.task.seen], torch.full((120, 12), -3.0))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "it needs word vectors of the attributes"),
        ({"words": "random", "embedding_dims": 50}, "50 principal components of 20 class"),
    ],
)
def test_what_it_cannot_do_it_says(config, reason):
    from dataclasses import replace

    setup = Setup.of_data(SPEC, replace(tasks.make(tasks.EASY), words=None), 0)
    (trace,) = observe(DAZLE, setup, [RunSpec(0, DAZLEConfig(**config))])
    assert isinstance(trace.error, NotApplicable)
    assert reason in str(trace.error)


def test_components_follow_from_the_embeddings_and_not_from_the_order_of_classes(drawn):
    attributes = drawn("attributes", 9, 6)
    found = reduced(attributes, 4)
    assert found.shape == (9, 4)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(reduced(attributes[order], 4), found[order])
    # All of them keep the classes' distances.
    torch.testing.assert_close(torch.cdist(reduced(attributes, 6), reduced(attributes, 6)),
                               torch.cdist(attributes, attributes))  # fmt: skip
    assert reduced(attributes, None) is attributes


def test_balanced_batches_draw_classes_evenly(drawn):
    from gzsl_bench_attention.training import _balanced, _by_class

    from gzsl_bench import Task

    labels = torch.tensor([4] * 90 + [1] * 9 + [2])
    task = Task(
        torch.zeros(100, 1),
        labels,
        torch.zeros(5, 2),
        torch.tensor([1, 2, 4]),
        torch.tensor([0, 3]),
    )
    rows = _balanced(_by_class(task), 60, 50, torch.Generator().manual_seed(0))
    assert rows.shape == (50, 60)
    assert labels[rows].sort(1).values.tolist() == [[1] * 20 + [2] * 20 + [4] * 20] * 50
    assert rows.unique().numel() == 100
    # Fewer rows than twice the classes: one of each, and no more (AWA2: 40 of a batch of 50).
    rows = _balanced(_by_class(task), 5, 50, torch.Generator().manual_seed(0))
    assert labels[rows].sort(1).values.tolist() == [[1, 2, 4]] * 50
    # More classes than rows: different ones, drawn evenly.
    rows = _balanced(_by_class(task), 2, 3000, torch.Generator().manual_seed(0))
    assert rows.shape == (3000, 2)
    assert (labels[rows[:, 0]] != labels[rows[:, 1]]).all()
    counts = labels[rows].flatten().bincount(minlength=5)
    assert ((counts[[1, 2, 4]] - 2000).abs() < 120).all()


def test_given_word_vectors_start_at_length_one():
    """As released; CUB and SUN do not scale them again, so their length stays what it becomes."""
    from dataclasses import replace
    from types import SimpleNamespace

    from gzsl_bench import Run, Task

    words = torch.tensor([[3.0, 4.0], [0.0, 0.5]])
    task = Task(
        torch.zeros(2, 1),
        torch.tensor([0, 1]),
        torch.eye(3, 2),
        torch.tensor([0, 1]),
        torch.tensor([2]),
        regions=SimpleNamespace(shape=(2, 4, 5)),
        words=words,
    )
    config = DAZLEConfig()
    runs = [Run(seed, torch.device("cpu"), config, None) for seed in range(2)]
    head = DAZLE(config).head(task, runs, task.attributes)
    torch.testing.assert_close(
        head.parameters[0].detach(), torch.tensor([[[0.6, 0.8], [0.0, 1.0]]] * 2)
    )
    same = DAZLE(config).head(replace(task, words=10 * words), runs, task.attributes)
    torch.testing.assert_close(same.parameters[0], head.parameters[0])
