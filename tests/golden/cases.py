"""What shared code computes on tiny inputs, in numbers small enough to keep.

A case is a function without arguments; those of the engine take its fixtures.  It gives plain data:
whole numbers are compared exactly, fractions to :data:`TOLERANCE` of the largest beside them, so
that another machine or library passes and a changed formula does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from gzsl_bench import (
    Config,
    GZSLData,
    Method,
    MethodSpec,
    Predictions,
    Scorer,
    Task,
    stacked,
)
from gzsl_bench.builtin import digits, synthetic
from gzsl_bench.data import features as conversion
from gzsl_bench.data import folds
from gzsl_bench.data import tasks as preprocessing
from gzsl_bench.data.gzsl import ClassFold
from gzsl_bench.data.identity import identify
from gzsl_bench.data.known import KnownDataset
from gzsl_bench.hooks import streams
from gzsl_bench.hooks import task as tasks
from gzsl_bench.hooks.dataset import DatasetRequest
from gzsl_bench.scoring import calibration, metrics, predict
from gzsl_bench.stacked import adam, precision, softmax
from gzsl_bench.stacked.backend import Backend, pretending
from gzsl_bench.stacked.crossmodal import CrossModalNetworks, CrossModalVAE

#: The part of the largest number of a list by which its fractions may differ.
TOLERANCE = 1e-4

#: Where the number stands that is to be raised, and the number; None where none is needed.
NUMBERS: dict[str, tuple[str, Callable[[], int] | None]] = (
    {
        "stacked": ("gzsl_bench.stacked.NUMERICS", lambda: stacked.NUMERICS),
        "streams": ("gzsl_bench.hooks.streams.NUMERICS", lambda: streams.NUMERICS),
        "task": ("gzsl_bench.hooks.task.NUMERICS", lambda: tasks.NUMERICS),
        "predictions": ("gzsl_bench.scoring.predict.NUMERICS", lambda: predict.NUMERICS),
        "folds": ("gzsl_bench.data.folds.NUMERICS", lambda: folds.NUMERICS),
        "metrics": ("gzsl_bench.scoring.metrics.NUMERICS", lambda: metrics.NUMERICS),
        "conversion": ("gzsl_bench.data.features.NUMERICS", lambda: conversion.NUMERICS),
        "synthetic": ("gzsl_bench.builtin.synthetic.NUMERICS", lambda: synthetic.NUMERICS),
        # Its fingerprint is in the key, and nothing of it is cached.
        "digits": ("", None),
        # Computed from predictions whenever somebody looks.
        "calibration": ("", None),
    }
    | {
        name: (
            f"numerics of {name!r} in gzsl_bench.data.tasks.PREPROCESSING",
            lambda name=name: preprocessing.PREPROCESSING[name].numerics,
        )
        for name in preprocessing.PREPROCESSING
    }
    | {
        name: (
            f"gzsl_bench.stacked.precision.NUMERICS[{name!r}]",
            lambda name=name: precision.NUMERICS[name],
        )
        for name in precision.NUMERICS
    }
)

#: (what its number stands for, name) -> function.
CASES: dict[tuple[str, str], Callable] = {}


def case(section: str):
    """Registers a function as a case of ``section``, called as it is."""
    assert section in NUMBERS

    def register(function):
        CASES[section, function.__name__.replace("_", " ")] = function
        return function

    return register


def digest(*arrays) -> str:
    """Of whole numbers, exactly: type and memory order play no part."""
    found = hashlib.sha256()
    for array in arrays:
        values = np.asarray(array)
        assert values.dtype.kind in "iub"
        found.update(f"{values.shape}".encode() + values.astype("<i8").tobytes())
    return found.hexdigest()[:16]


def summary(values) -> list[float]:
    """Of fractions: size, spread, a weighted sum that knows their order, and the first of them."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    ramp = np.cos(np.arange(flat.size))
    return [float(np.abs(flat).mean()), float(flat.std()), float((flat * ramp).mean()), *flat[:3]]


class Seeded:
    """A run as far as streams go."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generator(self, purpose: str) -> torch.Generator:
        return streams.generator(self.seed, purpose)


class Collecting(Seeded):
    """A run that keeps what is logged."""

    failure = None

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.logged: list[float] = []

    def log(self, step: int, **values: float) -> None:
        self.logged += values.values()


def rows(*shape: int) -> torch.Tensor:
    """Numbers between -1 and 1 that come from no generator."""
    count = int(np.prod(shape))
    return torch.from_numpy(np.sin(1.0 + 1.7 * np.arange(count)).reshape(shape)).float()


RUNS = [Seeded(0), Seeded(7)]


# Streams -----------------------------------------------------------------------------------------


@case("streams")
def seeds():
    purposes = ("batches", "init/visual", "test order")
    return [streams.derive_seed(seed, name) for seed in (0, 1) for name in purposes]


@case("streams")
def stream():
    made = streams.generator(3, "batches")
    return torch.randint(1000, (8,), generator=made).tolist()


# The toolkit -------------------------------------------------------------------------------------


@case("stacked")
def initial_weights():
    """Of every kind of layer."""
    found = {}
    for name, options in {
        "plain": {},
        "heads": {"heads": 2},
        "gain": {"gain": 0.5},
        "relu": {"activation": "relu"},
    }.items():
        made = stacked.Linear(RUNS, "a", 5, 4, **options)
        found[name] = summary(made.weight.detach())
        assert not made.bias.any()
    encoder = stacked.Encoder(RUNS, "e", 5, 4, 3)
    decoder = stacked.Decoder(RUNS, "d", 3, 4, 5)
    for name, layer in zip("abcd", [*encoder.layers, *decoder.layers], strict=True):
        found[f"autoencoder {name}"] = summary(layer.weight.detach())
    inputs, labels = rows(2, 6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    classifier = stacked.SoftmaxClassifier(RUNS, inputs, labels, 3, rates=[0.1, 0.1])
    found["classifier"] = summary(classifier.weight)
    return found


@case("stacked")
def batches():
    """Both ways to draw a subset, and a permutation."""
    made = stacked.Generators(RUNS, "batches")
    few = stacked.subsets(made, 1000, 20, 4)
    many = stacked.subsets(made, 30, 20, 4)
    return [digest(few), digest(many), digest(stacked.permutations(made, 9, 3))]


@case("stacked")
def batches_between_the_two_ways():
    made = stacked.Generators(RUNS, "batches")
    return [digest(stacked.subsets(made, rows, 20, 3)) for rows in (199, 200, 201)]


@case("stacked")
def noise():
    return summary(stacked.normals(stacked.Generators(RUNS, "noise/visual"), (4, 3), 5))


@case("stacked")
def layers_forward_and_back():
    """Values and gradients of a layer that cuts off, of one that does not, and of reordering."""
    return _layers()


@case("stacked")
def layers_of_all_runs_at_once():
    """As on a GPU."""
    with pretending(Backend(together=True, graphs=None)):
        return _layers()


def _layers():
    x = rows(2, 3, 5).requires_grad_()
    first = stacked.Linear(RUNS, "a", 5, 4, activation="relu")
    second = stacked.Linear(RUNS, "b", 4, 4)
    order = torch.tensor([[3, 1, 0, 2], [1, 0, 3, 2]])
    out = stacked.permute_channels(second(first(x)), order)
    (out * rows(2, 3, 4)).sum().backward()
    weights = [layer.weight_grad for layer in (first, second)]
    biases = [layer.bias_grad for layer in (first, second)]
    return {
        "out": summary(out.detach()),
        "gradients": [summary(grad) for grad in (x.grad, *weights, *biases)],
        "inference": summary(first.of(1)(x[1:].detach()).detach()),
    }


@case("stacked")
def optimizer():
    """Three steps: large gradients show the bias corrections, tiny ones epsilon."""
    return [_adam(options) for options in ({}, {"amsgrad": True}, {"betas": (0.5, 0.9)})]


@case("stacked")
def optimizer_without_its_fused_kernel():
    before, adam.FUSED_ADAM = adam.FUSED_ADAM, None
    try:
        return _adam({})
    finally:
        adam.FUSED_ADAM = before


def _adam(options) -> list[list[float]]:
    layer = stacked.Linear(RUNS, "a", 3, 2)
    layer.flat.zero_()
    optimizer = stacked.StackedAdam([([layer], [0.1, 0.2])], **options)
    found = []
    for step in range(3):
        layer.weight_grad.copy_(torch.tensor([1.0, 1e-8, -3e-9]) * (step - 1.5))
        layer.bias_grad.fill_(0.25)
        layer.fresh = False
        optimizer.step()
        found.append(summary(layer.weight.detach()))
        # Beside the first column the others would pass for rounding.
        found.append(summary(layer.weight.detach()[:, :, 1:]))
    return found


@case("stacked")
def classifier():
    """Two epochs; one input is so small that epsilon decides about its weights."""
    return _classified()


@case("stacked")
def classifier_without_the_fused_kernel():
    before, softmax.FUSED_ADAM = softmax.FUSED_ADAM, None
    try:
        return _classified()
    finally:
        softmax.FUSED_ADAM = before


@case("stacked")
def classifier_of_all_runs_at_once():
    """As on a GPU."""
    with pretending(Backend(together=True, graphs=None)):
        return _classified()


def _classified():
    inputs = rows(2, 9, 3)
    inputs[:, :, 2] *= 1e-7
    labels = torch.arange(9) % 3
    made = stacked.SoftmaxClassifier(RUNS, inputs, labels, 3, rates=[0.1, 0.05], batch=4)
    found = []
    for _ in range(2):
        made.train_epoch()
        found += [summary(made.weight[:, :, :2]), summary(made.weight[:, :, 2]), summary(made.bias)]
    return [*found, made.loss(), summary(made.scores(0, inputs[0]))]


@case("stacked")
def schedule():
    warm = stacked.WarmUp([2.0, 0.5], 1, 5)
    sudden = stacked.WarmUp([1.0], 2, 2)
    return [warm.at(e, torch.device("cpu")).tolist() for e in (0, 1, 2, 4, 5, 9)] + [
        sudden.at(e, torch.device("cpu")).tolist() for e in (1, 2, 3)
    ]


@case("stacked")
def gaussians():
    mu, logvar, other, width = (rows(2, 3, 4) * factor for factor in (1.0, 0.5, -0.7, 0.3))
    return [
        summary(stacked.reparameterize(mu, logvar, rows(2, 3, 1))),
        stacked.kl_divergence(mu, logvar).tolist(),
        stacked.wasserstein_distance(mu, logvar, other, width).tolist(),
        stacked.l1_error(mu, other).tolist(),
    ]


@case("stacked")
def training_of_an_autoencoder():
    """Loop, schedule, draws, losses and optimiser together."""
    runs = [Collecting(0), Collecting(7)]
    encoder = stacked.Encoder(runs, "e", 6, 5, 3)
    decoder = stacked.Decoder(runs, "d", 3, 5, 6)
    optimizer = stacked.StackedAdam([(encoder.layers + decoder.layers, [0.01, 0.02])])
    picks, noises = stacked.Generators(runs, "batches"), stacked.Generators(runs, "noise")
    data, warm = rows(20, 6), stacked.WarmUp([1.0, 1.0], 0, 2)

    def loss(weights, picked, noise):
        mu, logvar = encoder(data[picked])
        out = decoder(stacked.reparameterize(mu, logvar, noise))
        error, kl = stacked.l1_error(data[picked], out), stacked.kl_divergence(mu, logvar)
        return {"error": error, "loss": error + weights[0] * kl}

    stacked.train(
        runs,
        optimizer,
        epochs=3,
        steps=4,
        weights=lambda epoch: [warm.at(epoch, torch.device("cpu"))],
        draw=lambda steps: [
            stacked.subsets(picks, 20, 5, steps),
            stacked.normals(noises, (5, 1), steps),
        ],
        loss=loss,
    )
    return [run.logged for run in runs]


def _latent_task() -> Task:
    labels = torch.tensor([0, 2, 0, 2, 0, 2, 2])
    return Task(rows(7, 4), labels, rows(4, 6), torch.tensor([0, 2]), torch.tensor([1, 3]))


@case("stacked")
def latents():
    """The last stage's training set, and the samples that are drawn."""
    task = _latent_task()
    inputs, labels = stacked.latent_training_set(
        task,
        RUNS,
        lambda run, x: x,
        lambda run, x: x[:, :4],
        seen_samples=5,
        unseen_samples=3,
    )
    shown = stacked.sampled_latents(task, RUNS[1], lambda x: x, lambda x: x[:, :4])
    return [
        summary(inputs),
        digest(labels),
        stacked.first_rows(task.labels, task.seen, 4).tolist(),
        summary(shown.semantic(torch.tensor([3, 1, 1, 0]))),
    ]


class Latent(Config):
    latent: int = 3
    init_gain: float = 1.0
    visual_encoder_hidden: int = 5
    visual_decoder_hidden: int = 4
    attribute_encoder_hidden: int = 6
    attribute_decoder_hidden: int = 5
    batch: int = 3
    epochs: int = 2
    seen_samples: int = 4
    unseen_samples: int = 6
    classifier_epochs: int = 2
    classifier_batch: int = 4
    classifier_lr: float = 0.05
    classifier_beta1: float = 0.5
    classifier_beta2: float = 0.999
    kl_factor: float = 0.5
    kl_start: int = 0
    kl_end: int = 2


class CrossModal(CrossModalVAE[CrossModalNetworks]):
    """The plainest of its kind."""

    networks = CrossModalNetworks
    warm_ups = ("kl",)

    def groups(self, runs, networks):
        return [(networks.autoencoder_layers, [0.01] * len(runs))]

    def losses(self, networks, features, attributes, labels, draws, weights):
        mu, logvar = networks.visual_encoder(features)
        other, width = networks.attribute_encoder(attributes)
        out = networks.attribute_decoder(stacked.reparameterize(mu, logvar, draws[0]))
        error = stacked.l1_error(attributes, out)
        back = networks.visual_decoder(stacked.reparameterize(other, width, draws[1]))
        error = error + stacked.l1_error(features, back)
        return {"loss": error + weights[0] * stacked.kl_divergence(mu, logvar)}


class Scored(Collecting):
    """A run that scores its checkpoints on fixed rows."""

    config = Latent()
    precision = "float32"

    def progress(self, done: int, total: int) -> None: ...

    def checkpoint(self, number: int, scorer) -> None:
        self.logged += summary(scorer(rows(3, 4)))


@case("stacked")
def cross_modal_training():
    run = Scored(7)
    CrossModal(Latent()).fit_batch(_latent_task(), [run])
    return run.logged


class Generative(Config):
    """What feature-generating networks read."""

    noise: int = 2
    generator_hidden: int = 5
    critic_hidden: int = 6
    init_std: float = 0.3
    batch: int = 4
    epochs: int = 2
    critic_steps: int = 2
    lr: float = 0.01
    beta1: float = 0.5
    beta2: float = 0.999
    penalty: float = 10.0
    samples: int = 3
    classifier_epochs: int = 2
    classifier_batch: int | None = 4
    classifier_lr: float = 0.05
    evaluate_every: int = 1


class Generated(stacked.FeatureGAN):
    """With a term of its own."""

    def more_terms(self, networks):
        loss = stacked.seen_loss(
            networks.task, networks.runs, epochs=2, batch=4, lr=0.05, betas=(0.5, 0.999), std=0.3
        )
        weight = torch.tensor([0.5])
        return lambda made, batch: {"seen": (weight, loss(made, batch.labels))}


@case("stacked")
def adversarial_training():
    run = Scored(7)
    run.config = Generative()
    Generated(run.config).fit_batch(_latent_task(), [run])
    return run.logged


# Precision ---------------------------------------------------------------------------------------


def _switches(name: str):
    with stacked.arithmetic(name):
        found = [torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32]
    # 1 + 2^-8 is no bfloat16: rounded, it is 1.
    layer = stacked.Linear([Seeded(0)], "a", 1, 1, precision=name)
    layer.flat.fill_(1.00390625)
    x = torch.full((1, 1, 1), 1.00390625, requires_grad=True)
    out = layer(x)
    (out * 3.01171875).sum().backward()
    return [*found, *(value.item() for value in (out, x.grad, layer.weight_grad))]


@case("float32")
def products_in_float32():
    return _switches("float32")


@case("tf32")
def products_in_tf32():
    return _switches("tf32")


@case("bf16")
def products_in_bf16():
    return _switches("bf16")


# Preprocessing -----------------------------------------------------------------------------------


def _prepared(name: str):
    raw = rows(12, 5).numpy() * 3
    raw[:, 1] = 2.5  # a constant dimension
    raw[:, 2] *= 1e-3  # one that is nearly so
    raw[4] = 0.0  # a row without length
    labels = np.arange(12) % 4
    data = GZSLData(
        name="small",
        features=raw,
        labels=labels,
        attributes=np.eye(4),
        trainval=np.array([3, 0, 5, 4, 1]),
        test_seen=np.array([2, 6]),
        test_unseen=np.array([9, 8, 7]),
    )
    found = preprocessing.prepare(data, name)
    parts = (found.train_features, found.test_features)
    order = digest(found.train_labels, found.test_labels, (2, 3))
    return [*(summary(part) for part in parts), *(part[:, 1].tolist() for part in parts), order]


for _name in preprocessing.PREPROCESSING:
    CASES[_name, "features"] = lambda name=_name: _prepared(name)


# Data --------------------------------------------------------------------------------------------


def _small() -> GZSLData:
    """Nine classes, three of them unseen."""
    labels = np.repeat(np.arange(9), 6)
    unseen = np.array([2, 5, 7])
    order = np.argsort(np.cos(7.0 * np.arange(labels.size)), kind="stable")
    seen_rows = order[~np.isin(labels[order], unseen)]
    data = GZSLData(
        name="small",
        features=rows(labels.size, 4).numpy(),
        labels=labels,
        attributes=rows(9, 3).double().numpy(),
        trainval=seen_rows[9:],
        test_seen=np.sort(seen_rows[:9]),
        test_unseen=np.flatnonzero(np.isin(labels, unseen)),
    )
    return identify(data)


@case("folds")
def choice_of_classes_and_rows():
    return [
        [fold.number, fold.source, fold.unseen.tolist(), fold.test_seen.tolist(), fold.content]
        for fold in folds.validation_folds(_small(), (1, 2, 3, 4))
    ]


@case("folds")
def shipped_fold():
    lists = ClassFold(train=np.array([0, 1, 3, 6]), val=np.array([4, 8, 5]))
    (fold,) = folds.validation_folds(replace(_small(), folds=(lists,)), (1,))
    parts = (fold.seen, fold.unseen, fold.train, fold.test_seen, fold.test_unseen)
    return [fold.source, *(part.tolist() for part in parts)]


@case("folds")
def tasks_of_folds():
    data = _small()
    (fold,) = folds.validation_folds(data, (2,))
    split = fold.split(data)
    indices = (split.labels, split.seen, split.unseen, split.trainval, split.test_unseen)
    return [digest(*indices), summary(split.attributes), list(split.attributes.shape)]


@case("conversion")
def features_of_mat_files():
    from scipy.io import savemat

    found = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "res101.mat"
        for kind in ("float32", "float64", "uint8"):
            matrix = (np.arange(12).reshape(3, 4) * 1.1).astype(kind)
            savemat(path, {"features": matrix, "labels": np.array([[1], [2], [2], [1]])})
            read = conversion.load_features(path, None)
            found += [read.digest, read.labels.tolist(), read.features[1].tolist()]
    return found


@case("conversion")
def features_of_other_files():
    found = []
    with TemporaryDirectory() as folder:
        plain, keyed = Path(folder) / "a.npy", Path(folder) / "b.npz"
        text, matrix = Path(folder) / "c.csv", np.arange(12).reshape(4, 3) * 1.1
        np.save(plain, matrix)
        np.savez(keyed, x=matrix.T)
        text.write_text("\n".join(",".join(map(str, row)) for row in matrix.tolist()))
        for path, key, side in (
            (plain, None, "rows"),
            (keyed, "x", "columns"),
            (text, None, "rows"),
        ):
            found.append(conversion.load_matrix(path, key, side, None).digest)
    return found


@case("digits")
def handwritten_digits():
    request = DatasetRequest("digits", None, "pixels", "strokes", None)
    return digits.load(request).fingerprint


@case("synthetic")
def generated_features():
    shape = KnownDataset(
        "TINY", 60, 7, 5, 6, 3, 30, 12, 18, 2, ("", "", ""), url="", citation="", summary=""
    )
    before = synthetic.KNOWN
    synthetic.KNOWN = {"TINY": shape}
    try:
        data = synthetic.load(DatasetRequest("synthetic", None, "TINY", "attributes", None))
    finally:
        synthetic.KNOWN = before
    indices = (data.labels, data.trainval, data.test_seen, data.test_unseen, data.folds[1].val)
    return [digest(*indices), summary(data.features), summary(data.attributes)]


# What a method is handed, and what becomes of its scores ------------------------------------------

#: What :class:`Witness` saw last.
SEEN: dict[str, torch.Tensor] = {}


class Witness(Method):
    """Keeps what it is handed, and the rows that its scorer is shown."""

    Config = Config

    def fit(self, task, run):
        for name in ("features", "labels", "attributes", "seen", "unseen", "unlabelled"):
            value = getattr(task, name)
            SEEN[name] = None if value is None else value.clone()

        def score(features):
            SEEN["shown"] = features.clone()
            return features @ features.new_ones(features.shape[1], task.num_classes)

        return Scorer(embed=lambda x: x, score=score)


def _witness(make_registry, resolve_text, run_inline, fold: int):
    small = _small()
    # Every class has a test image, or the data are refused.
    seen = np.setdiff1d(small.labels, small.labels[small.test_unseen])
    tested = np.array([np.flatnonzero(small.labels == c)[-1] for c in seen])
    trained = np.setdiff1d(np.flatnonzero(np.isin(small.labels, seen)), tested)
    data = replace(
        small, name="tiny", test_seen=tested, fingerprint="",
        trainval=trained[np.argsort(np.cos(5.0 * trained), kind="stable")],
    )  # fmt: skip
    spec = MethodSpec("witness", Witness, "", "paper", setting="transductive")
    registry = make_registry(spec, data={"tiny": data})
    suite = "name: s\ndatasets: [tiny]\nmethods: [witness]\nseeds: [3]\nselection: [val]\nfolds: 1"
    cells = [c for c in resolve_text(suite, registry).cells if bool(c.fold) == bool(fold)]
    outcome, store, _ = run_inline(tuple(cells), registry)
    assert outcome.exit_code == 0
    return data, cells[0], store


def _places(data: GZSLData, features: torch.Tensor) -> list[int]:
    """Which rows of the data set these are."""
    every = {row.tobytes(): number for number, row in enumerate(data.features)}
    return [every[row.numpy().tobytes()] for row in features]


def _handed(fold: int, *fixtures):
    data, _, _ = _witness(*fixtures, fold)
    return [
        _places(data, SEEN["features"]),
        _places(data, SEEN["unlabelled"]),
        [SEEN[name].tolist() for name in ("labels", "seen", "unseen")],
        [str(SEEN[name].dtype) for name in ("features", "labels", "attributes")],
        summary(SEEN["attributes"]),
    ]


@case("task")
def what_a_method_is_handed(make_registry, resolve_text, run_inline):
    return _handed(0, make_registry, resolve_text, run_inline)


@case("folds")
def what_a_method_is_handed_of_a_fold(make_registry, resolve_text, run_inline):
    return _handed(1, make_registry, resolve_text, run_inline)


@case("predictions")
def order_of_test_rows(make_registry, resolve_text, run_inline):
    data, cell, store = _witness(make_registry, resolve_text, run_inline, 0)
    kept = store.read(cell.key).predictions()
    return [
        _places(data, SEEN["shown"]),
        digest(kept["labels"]),
        # The scores of all classes are equal: the first counts.
        [sorted(set(kept[name].ravel().tolist())) for name in ("predicted", "predicted_seen")],
        summary(kept["best_seen"]),
        [str(kept[name].dtype) for name in ("predicted", "best_seen", "best_unseen")],
    ]


@case("predictions")
def equal_scores():
    """The first of equal classes counts, in each part; best scores are kept in double."""
    scores = torch.tensor(
        [[1, 5, 5, 0], [2, 2, 2, 2], [0, 1, 3, 3], [-1, -1, -2, -1], [0.1, 0.3, 0.2, 0.3]]
    )
    labels, order = np.array([0, 2, 1, 3, 3]), torch.tensor([3, 0, 4, 1, 2])
    tests = predict.TestSet(scores, labels, np.array([0, 2]), np.array([1, 3]), order)
    found = tests.predict(lambda shown: shown, predict.EmbeddingCache())
    classes = (found.predicted, found.predicted_seen, found.predicted_unseen)
    return [
        *(part.tolist() for part in classes),
        found.best_seen.tolist(),
        found.best_unseen.tolist(),
    ]


# From predictions --------------------------------------------------------------------------------


def _predictions() -> Predictions:
    return Predictions(
        labels=np.array([0, 0, 0, 2, 2, 1, 1, 3, 3, 3]),
        seen=np.array([0, 2]),
        unseen=np.array([1, 3]),
        predicted=np.array([0, 1, 0, 2, 3, 1, 0, 3, 2, 1]),
        predicted_seen=np.array([0, 0, 0, 2, 2, 0, 0, 2, 2, 0]),
        predicted_unseen=np.array([3, 1, 1, 1, 3, 1, 1, 3, 3, 1]),
        best_seen=np.array([5, 1, 3, 4, 1, 0, 2, 0, 2, 1.0]),
        best_unseen=np.array([1, 3, 1, 0, 2, 2, 1, 3, 1, 2.0]),
    )


@case("metrics")
def every_metric():
    from gzsl_bench.builtin.metrics import gzsl_bench_metrics

    return {spec.name: spec.compute(_predictions()) for spec in gzsl_bench_metrics()}


@case("metrics")
def nothing_right():
    from gzsl_bench.builtin.metrics import gzsl_bench_metrics

    found = _predictions()
    classes = dict.fromkeys(("predicted", "predicted_unseen"), 3 - found.labels)
    wrong = replace(found, predicted_seen=2 - found.labels, **classes)
    return {spec.name: spec.compute(wrong) for spec in gzsl_bench_metrics()}


@case("metrics")
def accuracies_of_classes():
    found = _predictions()
    return metrics.per_class_accuracy(
        found.labels, found.predicted, np.array([0, 1, 2, 3])
    ).tolist()


@case("calibration")
def bias_chosen_on_folds():
    found = _predictions()
    other = replace(found, best_seen=found.best_seen + 1.5)
    gammas = [calibration.best_gamma(folds) for folds in ([found], [found, other])]
    moved = calibration.calibrate(other, 1.0)
    return [*([b.gamma, b.h] for b in gammas), moved.predicted.tolist(), moved.best_seen.tolist()]
