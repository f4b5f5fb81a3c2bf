"""A backbone is trained with its head, on photographs that nobody else sees."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from gzsl_bench_attention.aren import AREN, attention_masks, part_features
from gzsl_bench_attention.backbone import Backbone, Tuned
from gzsl_bench_attention.dazle import DAZLE
from gzsl_bench_attention.training import TunedHead
from scipy.io import savemat

import gzsl_bench
from gzsl_bench import Images, NotApplicable, Regions, Run, Task
from gzsl_bench.errors import DataError

TINY = """
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=4)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, images):
        return torch.relu(self.norm(self.stem(images)))


def tiny():
    return Tiny()
"""
SEEN, UNSEEN = torch.tensor([0, 1, 3]), torch.tensor([2])


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """A module ``tiny_net``, as an installed package has it, and its weights in a file."""
    (tmp_path / "tiny_net.py").write_text(TINY)
    monkeypatch.syspath_prepend(tmp_path)
    import tiny_net

    torch.manual_seed(3)
    torch.save(tiny_net.Tiny().state_dict(), tmp_path / "tiny.pth")
    yield tmp_path
    sys.modules.pop("tiny_net")


@pytest.fixture
def backbone(package):
    return {"name": "tiny_net:Tiny", "weights": str(package / "tiny.pth"), "lr": 0.05}


def photographs(labels: np.ndarray) -> np.ndarray:
    """[N, 12, 12, 3] noise, with a square in the colour of the class somewhere."""
    rng = np.random.default_rng(0)
    colours = np.array([(250, 0, 0), (0, 250, 0), (250, 250, 0), (0, 0, 250)])
    found = rng.integers(0, 60, (len(labels), 12, 12, 3)).astype(np.uint8)
    for image, label in zip(found, labels, strict=True):
        row, column = rng.integers(0, 8, 2)
        image[row : row + 4, column : column + 4] = colours[label]
    return found


def task_of(labels: np.ndarray) -> Task:
    pixels = photographs(labels)
    return Task(
        features=torch.zeros(len(labels), 2),
        labels=torch.from_numpy(labels),
        attributes=torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]),
        seen=SEEN,
        unseen=UNSEEN,
        regions=Regions(pixels, None, np.arange(len(labels)), torch.device("cpu")),
    )


class Sink:
    def __init__(self, task):
        self.task, self.losses, self.right, self.weights = task, [], [], []

    def log(self, step, values):
        self.losses.append(values["loss"])

    def progress(self, done, total):
        pass

    def checkpoint(self, number, scorer):
        with torch.no_grad():
            scores = scorer(Images(self.task.features, self.task.regions))
        seen = scores[:, SEEN].argmax(1)
        self.right.append(float((SEEN[seen] == self.task.labels).double().mean()))


@pytest.mark.parametrize(
    ("method", "more"),
    [
        (AREN, {"parts": 2, "dropout": 0.0, "period": 30, "block": 1}),
        (DAZLE, {"words": "random", "lr": 0.003, "momentum": 0.0}),
    ],
)
def test_backbone_and_head_learn_together(backbone, method, more):
    task = task_of(np.tile(SEEN.numpy(), 8))
    found = {}
    for lr in (1e-9, 0.05):
        config = method.Config(
            finetune=True,
            backbone={**backbone, "lr": lr},
            batch=12,
            epochs=12,
            **{"lr": 0.02, **more},
        )
        assert "frozen backbone" not in method.differs(config)
        sink = Sink(task)
        method(config).fit_batch(task, [Run(0, torch.device("cpu"), config, sink)])
        found[lr] = sink
    assert found[0.05].losses[-1] < 0.8 * found[0.05].losses[0]
    assert found[0.05].losses[-1] < found[1e-9].losses[-1]
    assert found[0.05].right[-1] >= 0.9


@pytest.mark.parametrize("method", [AREN, DAZLE])
def test_gradients_reach_the_backbone_s_first_layer(backbone, method):
    """Beside differences of the loss, in float64, of a few of its weights."""
    task = task_of(np.tile(SEEN.numpy(), 2))
    more = {"words": "random"} if method is DAZLE else {"parts": 2, "dropout": 0.0}
    config = method.Config(finetune=True, backbone=backbone, **more)
    tuned = Tuned(config.backbone, task.regions)
    run = Run(0, torch.device("cpu"), config, None)
    head = TunedHead(method(config).head(tuned.task(task), [run], task.attributes), tuned)
    for index, tensor in enumerate(head.head.parameters):
        head.head.parameters[index] = 3 * tensor.detach().double() + 0.1
    head.head.classes = head.head.classes.double()
    for name in ("unseen", "margin", "calibration"):
        if hasattr(head.head, name):
            setattr(head.head, name, getattr(head.head, name).double())
    module = tuned.made.module.double()
    pixels, labels = task.regions[:].double()[None], task.labels[None]
    draws = [torch.ones_like(draw)[0] for draw in head.more_draws(1, len(task.labels))]

    def loss():
        return head.losses(pixels, labels, *draws)["loss"].sum()

    loss().backward()
    assert torch.equal(module.norm.running_mean, torch.zeros(6).double())
    weight, step = module.stem.weight, 1e-6
    for place in [(0, 0, 0, 0), (3, 1, 2, 1), (5, 2, 1, 1)]:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
                values.append(float(loss()))
                weight[place] -= sign * step
        slope = (values[0] - values[1]) / (2 * step)
        assert float(weight.grad[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_features_of_parts_have_the_gradient_of_the_largest_masked_values(drawn):
    leaves = drawn("maps", 2, 3, 5, 4), drawn("weight", 2, 3, 4), drawn("bias", 2, 3)
    given = drawn("slopes", 2, 3, 3, 4)
    found = []
    for features in (part_features, lambda x, m: (x[..., None, :] * m[..., None]).amax(2)):
        maps, weight, bias = (leaf.clone().requires_grad_() for leaf in leaves)
        (features(maps, attention_masks(maps, weight, bias, 0.5)) * given).sum().backward()
        found.append([maps.grad, weight.grad, bias.grad])
    torch.testing.assert_close(found[0], found[1])


def test_weights_and_code_are_part_of_the_configuration(backbone, package):
    first = Backbone(**backbone)
    assert Backbone(**first.model_dump()) == first
    torch.save({**torch.load(package / "tiny.pth", weights_only=True), "more": torch.ones(9)},
               package / "tiny.pth")  # fmt: skip
    assert Backbone(**backbone).identity != first.identity
    with pytest.raises(ValueError, match="the backbone is .* here, and not"):
        Backbone(**first.model_dump())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "net.py:Tiny"}, "no file named in a suite is executed"),
        ({"weights": "imagenet"}, "are no file, whose hash could stand in keys"),
    ],
)
def test_what_is_refused_when_a_suite_is_read(backbone, change, message):
    with pytest.raises(ValueError, match=message):
        Backbone(**backbone | change)


def test_a_suite_calls_nothing_but_networks(backbone):
    pixels = task_of(np.array([0])).regions
    for name in ("tiny_net:tiny", "subprocess:call"):
        with pytest.raises(DataError, match="is of no class of torch.nn.Module"):
            Tuned(Backbone(**backbone | {"name": name}), pixels)


def test_photographs_are_no_maps_and_maps_no_photographs(backbone):
    task = task_of(np.tile(SEEN.numpy(), 2))
    run = Run(0, torch.device("cpu"), AREN.Config(), None)
    with pytest.raises(NotApplicable, match="these are photographs"):
        AREN(AREN.Config()).fit_batch(task, [run])
    tuned = AREN.Config(finetune=True, backbone=backbone)
    maps = np.zeros((6, 4, 3), np.float32)
    task = Task(**{**vars_of(task), "regions": Regions(maps, None, np.arange(6), task.device)})
    with pytest.raises(NotApplicable, match="these are region maps"):
        AREN(tuned).fit_batch(task, [run])
    with pytest.raises(ValueError, match="go together"):
        AREN.Config(finetune=True)


def vars_of(task):
    return {name: value for name, value in vars(task).items() if not name.startswith("_")}


def test_a_folder_with_photographs_is_trained_on_and_scored(backbone, package):
    """From files to a record: other weights make another cell."""
    folder = package / "data" / "TOY"
    (folder / "regions").mkdir(parents=True)
    labels = np.tile(np.arange(4), 8)
    np.save(folder / "regions" / "photos.npy", photographs(labels))
    rows = np.arange(1, 33)
    seen = labels != 2
    features = np.random.default_rng(1).random((3, 32))
    savemat(folder / "res101.mat", {"features": features, "labels": labels[:, None] + 1.0})
    savemat(folder / "att_splits.mat", {
        "att": task_of(labels).attributes.double().numpy().T,
        "trainval_loc": rows[seen & (rows < 25)][:, None],
        "test_seen_loc": rows[seen & (rows >= 25)][:, None],
        "test_unseen_loc": rows[~seen][:, None],
    })  # fmt: skip
    more = {"finetune": True, "words": "random", "batch": 9, "epochs": 2}
    suite = {
        "name": "toy",
        "datasets": [{"use": "TOY", "regions": "photos"}],
        "methods": [{"use": "dazle", "config": {**more, "backbone": backbone}}],
        "selection": ["last"],
        "seeds": 1,
    }
    keys = []
    for _ in range(2):
        found = gzsl_bench.run(
            suite, out=package / "out", data=package / "data", executor="inline", progress=False
        )
        (cell,) = found.cells().to_dict("records")
        assert cell["status"] == "complete", cell
        keys.append(cell["key"])
        weights = torch.load(package / "tiny.pth", weights_only=True)
        torch.save({name: 2 * value for name, value in weights.items()}, package / "tiny.pth")
    assert keys[0] != keys[1]
