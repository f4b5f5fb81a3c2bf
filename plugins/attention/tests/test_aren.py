"""AREN beside a transcription of its sheet, image by image."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from gzsl_bench_attention.aren import ARENConfig, ARENHead, attention_masks, part_features

from gzsl_bench import Run, Task

RUNS, BATCH, REGIONS, CHANNELS, WIDTH = 2, 4, 6, 3, 5
SEEN, LABELS = torch.tensor([0, 2, 3]), torch.tensor([[3, 0, 2, 2], [0, 0, 3, 2]])


@pytest.fixture
def classes(drawn):
    return torch.nn.functional.normalize(drawn("classes", 5, WIDTH), dim=1)


def make_head(classes, **settings):
    """A head of two runs in float64, as a task of these classes has it."""
    config = ARENConfig(parts=3, compressed=2, **settings)
    task = Task(
        features=torch.zeros(1, 1),
        labels=torch.tensor([0]),
        attributes=classes,
        seen=SEEN,
        unseen=torch.tensor([1, 4]),
        regions=SimpleNamespace(shape=(1, REGIONS, CHANNELS)),
    )
    runs = [Run(seed, torch.device("cpu"), config, None) for seed in range(RUNS)]
    return ARENHead(task, runs, classes, config)


def of_one_image(x, parameters, threshold, streams):
    """The attribute vectors of the sheet's two streams, for maps [P, C]."""
    weight, bias, *rest = parameters
    masks = [torch.sigmoid(x @ w + b) for w, b in zip(weight, bias, strict=True)]
    t = threshold * max(mask.max() for mask in masks)
    masks = [mask if mask.max() >= t else torch.zeros_like(mask) for mask in masks]
    masked = [mask[:, None] * x for mask in masks]
    found = []
    if "first" in streams:
        parts = torch.cat([y.max(0).values for y in masked])
        found.append(rest.pop(0) @ parts)
    if "second" in streams:
        compress, shift, last = rest
        z = x @ compress.T + shift
        pairs = torch.stack([z.T @ y / len(x) for y in masked]).max(0).values
        found.append(last @ pairs.flatten())
    return found


@pytest.mark.parametrize("block", [64, 1])
@pytest.mark.parametrize(
    ("shares", "threshold"), [((1.0, 0.0), 0.8), ((0.0, 1.0), 0.5), ((2.0, 0.5), 0.8)]
)
def test_losses_and_gradients_are_those_of_the_sheet(
    drawn, same_gradients, classes, shares, threshold, block
):
    head = make_head(
        classes, first_order=shares[0], second_order=shares[1], threshold=threshold, block=block
    )
    maps = drawn("maps", RUNS, BATCH, REGIONS, CHANNELS)
    streams = [name for name, share in zip(("first", "second"), shares, strict=True) if share]
    kept = torch.rand(RUNS, BATCH, len(streams), WIDTH, generator=torch.Generator().manual_seed(1))
    kept = kept >= 0.4
    leaves = [3 * tensor.detach() for tensor in head.parameters]

    def terms(*own):
        head.parameters = own
        return head.losses(maps, LABELS, kept)

    def wanted(run, *own):
        total = 0.0
        for image in range(BATCH):
            vectors = of_one_image(maps[run, image], own, threshold, streams)
            for s, (share, vector) in enumerate(zip(filter(None, shares), vectors, strict=True)):
                value = vector * kept[run, image, s] / 0.6
                logits = torch.stack([value @ classes[c] for c in SEEN])
                place = SEEN.tolist().index(LABELS[run, image])
                total = total - share * torch.log_softmax(logits, 0)[place] / BATCH
        return {"loss": total / sum(shares)}

    same_gradients(leaves, terms, wanted)
    # In testing nothing is dropped, and all classes are scored.
    head.parameters = leaves
    scores = head.scores_of(1)(maps[1])
    for image in range(BATCH):
        vectors = of_one_image(maps[1, image], [x[1] for x in leaves], threshold, streams)
        used = list(filter(None, shares))
        mean = sum(s * v for s, v in zip(used, vectors, strict=True)) / sum(used)
        torch.testing.assert_close(scores[image], classes @ mean)


def test_weak_masks_are_dropped_and_features_are_the_largest_of_masked_maps(drawn):
    maps = drawn("maps", 1, 3, REGIONS, CHANNELS)
    weight, bias = drawn("weight", 1, 4, CHANNELS), torch.tensor([[0.0, 0.0, 0.0, -9.0]]).double()
    masks = attention_masks(maps, weight, bias, 0.5)
    assert (masks[..., 3] == 0).all()  # sigmoid(-9) is far below half of any other
    assert (masks[..., 0] > 0).any()
    expected = (maps[..., None, :] * masks[..., None]).amax(2)
    torch.testing.assert_close(part_features(maps, masks), expected)


def test_the_rate_falls_step_by_step_and_begins_anew_after_periods_that_double(classes):
    head = make_head(classes, period=2)
    found = []
    for step in range(14):
        head.begin_step(step / 2)
        found.append(float(head.optimizer._share))
    cosine = [[(1 + math.cos(math.pi * t / n)) / 2 for t in range(n)] for n in (4, 8)]
    assert found == pytest.approx([*cosine[0], *cosine[1], 1.0, (1 + math.cos(math.pi / 16)) / 2])


@pytest.mark.parametrize("method", ["AREN", "RGEN"])
def test_the_rate_of_a_training_falls_within_an_epoch(monkeypatch, method):
    """As released: sgdr(period, batch of all epochs), set before every batch."""
    from gzsl_bench_attention import aren, rgen

    from gzsl_bench.engine.audit.observe import RunSpec, Setup, observe
    from gzsl_bench.testing import tasks

    module = {"AREN": aren, "RGEN": rgen}[method]
    shares, before = [], aren.StackedSGD.schedule

    def schedule(self, share):
        shares.append(share)
        before(self, share)

    monkeypatch.setattr(aren.StackedSGD, "schedule", schedule)
    made = getattr(module, method)
    setup = Setup.of_data(module.SPEC, tasks.make(tasks.EASY), 0)
    steps = setup.task.labels.numel() // 16
    config = made.Config(batch=16, epochs=3, period=1, parts=2)
    (trace,) = observe(made, setup, [RunSpec(0, config)])
    assert trace.failure is None
    wanted = [(1 + math.cos(math.pi * t / n)) / 2 for n in (steps, 2 * steps) for t in range(n)]
    assert shares == pytest.approx(wanted)
