"""APN beside a transcription of its sheet, image by image."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from gzsl_bench_attention.apn import APNConfig, APNHead

from gzsl_bench import Run, Task

RUNS, BATCH, REGIONS, CHANNELS, WIDTH = 2, 4, 4, 3, 5
SEEN, LABELS = torch.tensor([0, 2, 3]), torch.tensor([[3, 0, 2, 2], [0, 0, 3, 2]])
GROUPS = [0, 0, 4, 4, 4]


def make_head(classes, grouped, **settings):
    config = APNConfig(compactness=0.3, norm=0.2, compact_from=1, **settings)
    task = Task(
        features=torch.zeros(1, 1),
        labels=torch.tensor([0]),
        attributes=classes,
        seen=SEEN,
        unseen=torch.tensor([1, 4]),
        regions=SimpleNamespace(shape=(1, REGIONS, CHANNELS)),
        groups=torch.tensor(GROUPS) if grouped else None,
    )
    runs = [Run(seed, torch.device("cpu"), config, None) for seed in range(RUNS)]
    return APNHead(task, runs, classes, config), config


def size(vectors, grouped):
    if not grouped:
        return vectors.norm()
    members = [[i for i, g in enumerate(GROUPS) if g == group] for group in (0, 4)]
    return sum(vectors[m, c].norm() for m in members for c in range(CHANNELS))


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("pool", "twice", "epoch"), [("max", True, 1), ("mean", False, 0)])
def test_losses_and_gradients_are_those_of_the_sheet(
    drawn, same_gradients, grouped, pool, twice, epoch
):
    classes = drawn("classes", 5, WIDTH)
    head, config = make_head(classes, grouped, pool=pool, twice=twice, block=3)
    maps = drawn("maps", RUNS, BATCH, REGIONS, CHANNELS)
    head.begin_epoch(epoch)
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]

    def terms(*own):
        head.parameters = own
        return head.losses(maps, LABELS)

    def wanted(run, base, prototypes):
        found = {"global": 0.0, "local": 0.0}
        spread = 0.0
        for x, label in zip(maps[run], LABELS[run].tolist(), strict=True):
            whole, similar = x @ base.T, x @ prototypes.T
            values = {
                "global": whole.max(0).values if pool == "max" else whole.mean(0),
                "local": similar.max(0).values,
            }
            weights = {
                "global": (1.0, config.attributes),
                "local": (config.local, config.local_attributes),
            }
            for name, value in values.items():
                logits = torch.stack([value @ classes[c] for c in SEEN])
                if twice:
                    logits = torch.softmax(logits, 0)
                entropy = -torch.log_softmax(logits, 0)[SEEN.tolist().index(label)]
                error = (value - classes[label]).square().mean()
                one, two = weights[name]
                found[name] = found[name] + (one * entropy + two * error) / BATCH
            for i in range(WIDTH):
                top = places[int(similar[:, i].argmax())]
                for r, (row, column) in enumerate(places):
                    distance = (row - top[0]) ** 2 + (column - top[1]) ** 2
                    spread = spread + torch.sigmoid(similar[r, i]) * distance / BATCH
        found["global"] = found["global"] + config.norm * size(base, grouped)
        found["local"] = found["local"] + config.local_norm * size(prototypes, grouped)
        compact = 0.3 * spread if grouped and epoch >= 1 else 0.0
        return {**found, "loss": found["global"] + found["local"] + compact}

    leaves = [drawn("base", RUNS, WIDTH, CHANNELS), drawn("local", RUNS, WIDTH, CHANNELS)]
    same_gradients(leaves, terms, wanted)
    head.parameters = leaves
    whole = maps[1] @ leaves[0][1].T
    pooled = whole.amax(1) if pool == "max" else whole.mean(1)
    torch.testing.assert_close(head.scores_of(1)(maps[1]), (pooled @ classes.T).softmax(-1))
