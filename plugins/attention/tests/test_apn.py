"""APN beside a transcription of its sheet, image by image."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from gzsl_bench_attention.apn import APN, APNConfig, APNHead

from gzsl_bench import DatasetInfo, Run, Task

RUNS, BATCH, REGIONS, CHANNELS, WIDTH = 2, 4, 4, 3, 5
SEEN, LABELS = torch.tensor([0, 2, 3]), torch.tensor([[3, 0, 2, 2], [0, 0, 3, 2]])
GROUPS = [0, 0, 4, 4, 4]


def make_head(classes, given, **settings):
    config = APNConfig(compactness=0.3, norm=0.2, compact_from=1, **settings)
    task = Task(
        features=torch.zeros(1, 1),
        labels=torch.tensor([0]),
        attributes=classes,
        seen=SEEN,
        unseen=torch.tensor([1, 4]),
        regions=SimpleNamespace(shape=(1, REGIONS, CHANNELS)),
        groups=torch.tensor(GROUPS) if given else None,
    )
    runs = [Run(seed, torch.device("cpu"), config, None) for seed in range(RUNS)]
    return APNHead(task, runs, classes, config), config


def size(vectors, grouped, by_channel=False):
    """Of a group as the released ``add_glasso`` has it, or of each of its channels (paper)."""
    if not grouped:
        return vectors.norm()
    members = [[i for i, g in enumerate(GROUPS) if g == group] for group in (0, 4)]
    squares = [[(vectors[m, c] ** 2).sum() + 1e-8 for c in range(CHANNELS)] for m in members]
    if by_channel:
        return sum(square**0.5 for group in squares for square in group)
    return sum(sum(group) ** 0.5 for group in squares)


@pytest.mark.parametrize(("grouped", "by_channel"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize(("pool", "twice", "epoch"), [("max", True, 1), ("mean", False, 0)])
def test_losses_and_gradients_are_those_of_the_sheet(
    drawn, same_gradients, grouped, by_channel, pool, twice, epoch
):
    classes = drawn("classes", 5, WIDTH)
    how = {"pool": pool, "twice": twice, "by_channel": by_channel}
    head, config = make_head(classes, grouped, block=3, **how)
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
                    spread = spread + torch.sigmoid(similar[r, i]) * distance
        found["global"] = found["global"] + config.norm * size(base, grouped, by_channel)
        found["local"] = found["local"] + config.local_norm * size(prototypes, grouped, by_channel)
        compact = 0.3 * spread if grouped and epoch >= 1 else 0.0
        return {**found, "loss": found["global"] + found["local"] + compact}

    leaves = [drawn("base", RUNS, WIDTH, CHANNELS), drawn("local", RUNS, WIDTH, CHANNELS)]
    same_gradients(leaves, terms, wanted)
    head.parameters = leaves
    whole = maps[1] @ leaves[0][1].T
    pooled = whole.amax(1) if pool == "max" else whole.mean(1)
    torch.testing.assert_close(head.scores_of(1)(maps[1]), (pooled @ classes.T).softmax(-1))


def test_prototypes_start_between_0_and_2e_4(drawn):
    head, _ = make_head(drawn("classes", 5, WIDTH), True)
    for start in head.parameters:
        assert start.min() >= 0
        assert 1.6e-4 < start.max() <= 2e-4
        assert abs(float(start.detach().mean()) - 1e-4) < 4e-5
    assert not torch.equal(head.parameters[0], head.parameters[1])


def test_released_values():
    """`realtrain` is epoch > pretrain_epoch, from 0; AWA2's script has no `--use_group`."""

    def values(name):
        config = APNConfig.model_validate(dict(APN.defaults(DatasetInfo(name, "maps", "att"))))
        return config.compact_from, config.grouped

    assert values("CUB") == (6, True)
    assert values("SUN") == (5, True)
    assert values("AWA2")[1] is False


def test_groups_are_left_aside_where_they_are_not_asked_for(drawn):
    head, _ = make_head(drawn("classes", 5, WIDTH), True, grouped=False)
    assert head.groups is None
