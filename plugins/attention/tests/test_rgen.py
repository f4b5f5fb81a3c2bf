"""RGEN beside a transcription of its sheet, image by image."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gzsl_bench_attention.rgen import RGENConfig, RGENHead, attention_masks, similarities

from gzsl_bench import Run, Task

RUNS, BATCH, REGIONS, CHANNELS, WIDTH = 2, 4, 4, 3, 5
SEEN, UNSEEN = torch.tensor([0, 2, 3]), torch.tensor([1, 4])
LABELS = torch.tensor([[3, 0, 2, 2], [0, 0, 3, 2]])
PLACES = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])


@pytest.fixture
def classes(drawn):
    return torch.nn.functional.normalize(drawn("classes", 5, WIDTH), dim=1)


def shares_of(classes, ridge):
    """Ridge regression by its normal equations, class by class."""
    found = np.zeros((len(SEEN), len(UNSEEN)))
    matrix = classes[UNSEEN].numpy().T
    for row, c in enumerate(SEEN.tolist()):
        w = np.linalg.inv(matrix.T @ matrix + ridge * np.eye(2)) @ matrix.T @ classes[c].numpy()
        w = np.where(w > 0, w, 0)
        found[row] = w / w.sum() if w.sum() else 0
    return torch.from_numpy(found)


def of_one_image(x, weight, bias, last, first, second, of_nodes):
    """Masks, attributes of both branches, compactness and diversity, for maps [P, C]."""
    masks = [torch.sigmoid(x @ w + b) for w, b in zip(weight, bias, strict=True)]
    parts = torch.stack([(mask[:, None] * x).max(0).values for mask in masks])
    likeness = torch.stack(
        [torch.stack([torch.clamp(torch.cosine_similarity(p, q, 0), min=0) for q in parts])
         for p in parts]
    )  # fmt: skip
    degree = torch.diag(likeness.sum(1) ** -0.5)
    edges = degree @ likeness @ degree
    nodes = torch.clamp(edges @ parts @ first.T, min=0)
    nodes = torch.clamp(edges @ nodes @ second.T, min=0)
    compact = diverse = 0.0
    count = len(masks) * len(x)
    for k, mask in enumerate(masks):
        top = PLACES[int(mask.argmax())]
        for z, place in enumerate(PLACES):
            other = max(m[z] for j, m in enumerate(masks) if j != k)
            compact = compact + mask[z] * float(((place - top) ** 2).sum()) / count
            diverse = diverse + mask[z] * other / count
    values = [last @ parts.flatten(), of_nodes @ nodes.flatten()]
    return torch.stack(masks, 1), values, compact, diverse


@pytest.mark.parametrize("block", [64, 3])
def test_losses_attention_and_gradients_are_those_of_the_sheet(
    drawn, same_gradients, classes, block
):
    config = RGENConfig(parts=3, nodes=4, transfer=0.3, balance=0.2, compact=0.4, diverse=0.7,
                        ridge=0.05, block=block)  # fmt: skip
    task = Task(
        features=torch.zeros(1, 1),
        labels=torch.tensor([0]),
        attributes=classes,
        seen=SEEN,
        unseen=UNSEEN,
        regions=SimpleNamespace(shape=(1, REGIONS, CHANNELS)),
    )
    runs = [Run(seed, torch.device("cpu"), config, None) for seed in range(RUNS)]
    head = RGENHead(task, runs, classes, config)
    maps = drawn("maps", RUNS, BATCH, REGIONS, CHANNELS)
    shares = shares_of(classes, 0.05)
    assert (shares == 0).any(), "some coefficient is negative"
    leaves = [3 * tensor.detach() for tensor in head.parameters]

    def terms(*own):
        head.parameters = own
        return head.losses(maps, LABELS)

    def wanted(run, *own):
        names = ("cross_entropy", "transfer", "balance", "compactness", "diversity")
        found = dict.fromkeys(names, 0.0)
        for image in range(BATCH):
            _, values, compact, diverse = of_one_image(maps[run, image], *own)
            place = SEEN.tolist().index(LABELS[run, image])
            for value in values:
                seen = torch.stack([value @ classes[c] for c in SEEN])
                unseen = torch.stack([value @ classes[c] for c in UNSEEN])
                related = (shares[place] * torch.log_softmax(unseen, 0)).sum()
                found["cross_entropy"] -= torch.log_softmax(seen, 0)[place] / BATCH
                found["transfer"] -= related / BATCH
                found["balance"] += (seen.max() - unseen.max()) ** 2 / BATCH
            found["compactness"] += compact / BATCH
            found["diversity"] += diverse / BATCH
        weights = dict(zip(names, (1.0, 0.3, 0.2, 0.4, 0.7), strict=True))
        return {**found, "loss": sum(weights[name] * found[name] for name in names)}

    same_gradients(leaves, terms, wanted)
    head.parameters = leaves
    scores = head.scores_of(1)(maps[1])
    masks = attention_masks(maps, *leaves[:2], config.threshold)
    for image in range(BATCH):
        expected, values, *_ = of_one_image(maps[1, image], *(x[1] for x in leaves))
        torch.testing.assert_close(masks[1, image], expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(scores[image], classes @ sum(values), rtol=1e-9, atol=1e-9)


def test_a_seen_class_that_is_an_unseen_one_has_all_its_share_there():
    classes = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [-1.0, 0, 0], [0, 0, 1.0]])
    found = similarities(classes, torch.tensor([2, 3]), torch.tensor([0, 1, 4]), 0.5)
    assert found.tolist() == [[0, 0, 1], [0, 0, 0]]
