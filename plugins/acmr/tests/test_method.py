"""ACMR end to end on small tasks: training, checkpoints, configuration, registration."""

from __future__ import annotations

import contextlib
import math
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch
from gzsl_bench_acmr import gzsl_bench_methods
from gzsl_bench_acmr.config import ACMRConfig
from gzsl_bench_acmr.method import ACMR

from gzsl_bench import DatasetInfo, Run, Scorer, Task
from gzsl_bench.hooks.config import stackable_fields
from gzsl_bench.stacked import latent_training_set
from gzsl_bench.stacked.backend import pretending
from gzsl_bench.testing.graphs import EmulatedGraphs, emulated

SMALL = {
    "latent": 16,
    "visual_encoder_hidden": 48,
    "visual_decoder_hidden": 40,
    "attribute_encoder_hidden": 32,
    "attribute_decoder_hidden": 24,
    "iem_hidden": 20,
    "batch": 20,
    "epochs": 3,
    "seen_samples": 30,
    "unseen_samples": 40,
    "classifier_epochs": 4,
}


class Sink:
    """Records what a run reports and scores a test set at every checkpoint."""

    def __init__(self, features=None):
        self.features, self.logs, self.steps, self.numbers = features, [], [], []
        self.scores, self.embeds = {}, []

    def log(self, step, values):
        self.logs.append((step, values))

    def checkpoint(self, number, scorer):
        assert isinstance(scorer, Scorer)
        self.numbers.append(number)
        self.embeds.append(scorer.embed)
        if self.features is not None:
            self.scores[number] = scorer(self.features).clone()

    def progress(self, done, total):
        self.steps.append((done, total))


def make_task(rows=400, dim=24, classes=8, width=10, spread=0.25, seed=0):
    """Images that are a random map of their class embedding plus noise, scaled to [0, 1]."""
    rng = np.random.default_rng(seed)
    attributes = rng.random((classes, width))
    attributes /= np.linalg.norm(attributes, axis=1, keepdims=True)
    unseen = np.array([2, 5])
    seen = np.setdiff1d(np.arange(classes), unseen)
    labels = np.concatenate([seen, rng.choice(seen, rows - seen.size)])
    test_labels = np.repeat(np.arange(classes), 20)
    mix = rng.normal(size=(width, dim))

    def images(of):
        return attributes[of] @ mix + spread * 0.5 * rng.normal(size=(of.size, dim))

    features, test = images(labels), images(test_labels)
    low, high = features.min(0), features.max(0)
    features, test = ((x - low) / (high - low) for x in (features, test))
    task = Task(
        features=torch.tensor(features, dtype=torch.float32),
        labels=torch.tensor(labels),
        attributes=torch.tensor(attributes, dtype=torch.float32),
        seen=torch.tensor(seen),
        unseen=torch.tensor(unseen),
    )
    return task, torch.tensor(test, dtype=torch.float32), test_labels


def fit(task, test, seeds, configs):
    sinks = [Sink(test) for _ in seeds]
    runs = [
        Run(seed, torch.device("cpu"), config, sink)
        for seed, config, sink in zip(seeds, configs, sinks, strict=True)
    ]
    ACMR(configs[0]).fit_batch(task, runs)
    return runs, sinks


def test_checkpoints_logs_and_progress():
    task, test, _ = make_task()
    config = ACMRConfig(**SMALL)
    (run,), (sink,) = fit(task, test, [0], [config])
    assert run.failure is None
    # The first classifier epoch is trained, not offered.
    assert sink.numbers == [2, 3, 4]
    assert all(embed is sink.embeds[0] for embed in sink.embeds)
    assert all(scores.shape == (160, 8) for scores in sink.scores.values())
    losses = [(step, values) for step, values in sink.logs if "loss" in values]
    assert [step for step, _ in losses] == [1, 2, 3]
    assert set(losses[0][1]) == {
        "reconstruction",
        "kl",
        "distance",
        "classification_visual",
        "classification_attribute",
        "loss",
    }
    # Epoch 0: every warm-up weight is 0, so the loss is the reconstruction alone.
    assert losses[0][1]["loss"] == pytest.approx(losses[0][1]["reconstruction"])
    assert [step for step, values in sink.logs if "classifier_loss" in values] == [1, 2, 3, 4]
    assert len(sink.steps) == 3 + 4
    done, total = sink.steps[-1]
    assert done == total


@pytest.mark.parametrize("switches", [{}, {"iem": False, "vsa": False}])
def test_a_run_is_the_same_alone_and_stacked_bit_for_bit(switches):
    task, test, _ = make_task(rows=150)
    config = ACMRConfig(**SMALL, **switches)
    _, together = fit(task, test, [3, 0, 5], [config] * 3)
    for position, seed in enumerate((3, 0, 5)):
        _, (alone,) = fit(task, test, [seed], [config])
        assert alone.logs == together[position].logs
        for number, scores in alone.scores.items():
            assert torch.equal(scores, together[position].scores[number])
    assert not torch.equal(together[0].scores[4], together[1].scores[4])


def test_a_stack_in_captured_graphs_equals_separate_runs():
    """As a GPU trains them, here on the CPU, with every stackable field differing."""
    task, test, _ = make_task(rows=150)
    base = ACMRConfig(**SMALL, kl_end=2, distance_start=0, distance_end=2, classification_end=2)
    changed = {name: getattr(base, name) * 1.5 for name in stackable_fields(ACMRConfig)}
    configs = [base, base.model_copy(update=changed), base]
    seeds = [3, 3, 1]
    _, separate = fit(task, test, seeds, configs)
    graphs = EmulatedGraphs()
    with pretending(emulated(graphs)):
        _, stacked = fit(task, test, seeds, configs)
    assert len(graphs.captures) == 2  # the autoencoders' steps and the classifier's
    assert graphs.waits == graphs.frozen == []
    for one, other in zip(separate, stacked, strict=True):
        assert one.numbers == other.numbers
        for (step, values), (same, others) in zip(one.logs, other.logs, strict=True):
            assert step == same
            assert others == pytest.approx(values, rel=1e-4)
        torch.testing.assert_close(one.scores[4], other.scores[4], rtol=1e-3, atol=1e-4)
    assert not torch.equal(separate[0].scores[4], separate[1].scores[4])


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_run_that_diverges_fails_alone(on_gpu):
    task, test, _ = make_task(rows=150)
    config = ACMRConfig(**SMALL)
    wild = config.model_copy(update={"vae_lr": 1e30})
    gpu = pretending(emulated(EmulatedGraphs()))
    with gpu if on_gpu else contextlib.nullcontext():
        runs, sinks = fit(task, test, [0, 1, 2], [config, wild, config])
    assert [run.failure is None for run in runs] == [True, False, True]
    assert sinks[1].numbers == []
    _, clean = fit(task, test, [0, 1, 2], [config] * 3)
    for position in (0, 2):
        torch.testing.assert_close(
            sinks[position].scores[4], clean[position].scores[4], rtol=1e-3, atol=1e-4
        )


def test_global_random_state_plays_no_part():
    task, test, _ = make_task(rows=100)
    config = ACMRConfig(**{**SMALL, "epochs": 1, "classifier_epochs": 2})
    torch.manual_seed(0)
    _, (first,) = fit(task, test, [0], [config])
    after = torch.rand(2)
    torch.manual_seed(1)
    _, (second,) = fit(task, test, [0], [config])
    torch.manual_seed(0)
    assert torch.equal(first.scores[2], second.scores[2])
    assert torch.equal(torch.rand(2), after)


def test_learns_seen_and_unseen_classes():
    # The released numbers of latents: with a few dozen the classifier takes too few steps.
    config = ACMRConfig(
        **{
            **SMALL,
            "epochs": 40,
            "vae_lr": 1e-3,
            "kl_end": 35,
            "kl_factor": 0.1,
            "distance_start": 2,
            "distance_end": 8,
            "classification_end": 8,
            "classifier_epochs": 12,
            "classifier_lr": 3e-3,
            "seen_samples": 200,
            "unseen_samples": 390,
        }
    )
    task, test, labels = make_task(rows=600)
    _, (sink,) = fit(task, test, [0], [config])
    predicted = sink.scores[12].argmax(1).numpy()
    recall = np.array([(predicted[labels == k] == k).mean() for k in range(8)])
    unseen, seen = recall[task.unseen].mean(), recall[task.seen].mean()
    assert 2 * unseen * seen / (unseen + seen + 1e-12) > 0.7  # chance is 0.125


def test_fewer_rows_than_a_batch():
    task, test, _ = make_task(rows=12)
    config = ACMRConfig(**{**SMALL, "epochs": 2, "classifier_epochs": 2})
    (run,), (sink,) = fit(task, test, [0], [config])
    assert run.failure is None
    assert sink.numbers == [2]


#: The released table: decoder, KL, distance (factor, start, end), classification (factor, end),
#: latents of an unseen class, classifier epochs.
RELEASED = {
    "CUB": (1665, 2.555, 8.21, 7, 22, 310.5, 21, 390, 50),
    "SUN": (1660, 2.455, 10.1, 7, 22, 305.555, 22, 410, 50),
    "AWA1": (1680, 7 / 3, 8.11, 6, 23, 290.13, 16, 460, 50),
    "AWA2": (1680, 3.554, 12.0, 6, 22, 100.5, 19, 480, 300),
}
FIELDS = (
    "visual_decoder_hidden",
    "kl_factor",
    "distance_factor",
    "distance_start",
    "distance_end",
    "classification_factor",
    "classification_end",
    "unseen_samples",
    "classifier_epochs",
)


@pytest.mark.parametrize("name", [*RELEASED, "FLO", "digits"])
def test_hyper_parameters_of_each_data_set(name):
    config = ACMRConfig(**ACMR.defaults(DatasetInfo(name, "res101", "att")))
    expected = RELEASED.get(name, RELEASED["CUB"])
    assert tuple(getattr(config, field) for field in FIELDS) == expected
    common = {
        "latent": 64,
        "visual_encoder_hidden": 1560,
        "attribute_encoder_hidden": 1450,
        "attribute_decoder_hidden": 665,
        "iem_hidden": 99,
        "init_gain": 0.5,
        "batch": 50,
        "epochs": 100,
        "vae_lr": 1.5e-4,
        "iem_lr": 3.3e-5,
        "vsa_lr": 7.4e-3,
        "kl_start": 0,
        "kl_end": 93,
        "classification_start": 0,
        "seen_samples": 200,
        "classifier_batch": 32,
        "classifier_lr": 5e-4,
        "classifier_beta1": 0.3,
        "classifier_beta2": 0.999,
    }
    assert {field: getattr(config, field) for field in common} == common


def test_configuration_is_described_and_checked():
    assert all(field.description for field in ACMRConfig.model_fields.values())
    assert stackable_fields(ACMRConfig) == {
        "vae_lr",
        "iem_lr",
        "vsa_lr",
        "kl_factor",
        "distance_factor",
        "classification_factor",
        "classifier_lr",
    }
    with pytest.raises(ValueError, match="kl_end"):
        ACMRConfig(kl_start=5, kl_end=4)
    with pytest.raises(ValueError, match="classifier_epochs"):
        ACMRConfig(classifier_epochs=1)
    with pytest.raises(ValueError, match="vae_lr"):
        ACMRConfig(vae_lr=math.nan)


@pytest.mark.parametrize(
    "switches", [{}, {"iem": False, "vsa": False}, {"vsa": False}, {"iem": False}]
)
def test_latents_are_the_classifiers_own_and_change_nothing(switches, monkeypatch):
    task, test, _ = make_task(rows=100)
    config, classes = ACMRConfig(**SMALL, **switches), torch.tensor([5, 0, 5, 2, 7])
    _, (plain,) = fit(task, test, [4], [config])
    statistics, drawn = [], []

    def watched(task, runs, encode_features, encode_attributes, **counts):
        statistics.append(encode_attributes(0, task.attributes))
        return latent_training_set(task, runs, encode_features, encode_attributes, **counts)

    class Drawing(Sink):
        def checkpoint(self, number, scorer):
            super().checkpoint(number, scorer)
            drawn.append((scorer.latents, scorer.latents.semantic(classes)))
            assert torch.equal(scorer.latents.visual(test), scorer.embed(test))

    monkeypatch.setattr("gzsl_bench.stacked.crossmodal.latent_training_set", watched)
    sink = Drawing(test)
    run = Run(4, torch.device("cpu"), config, sink)
    ACMR(config).fit_batch(task, [run])
    assert sink.logs == plain.logs
    assert all(torch.equal(sink.scores[n], plain.scores[n]) for n in plain.scores)
    assert all(offered is drawn[0][0] for offered, _ in drawn)
    # Seen and unseen classes by the statistics that the classifier's unseen samples come from.
    mu, logvar = statistics[0][classes].chunk(2, dim=1)
    noise = torch.randn(5, 1, generator=run.generator("visualize/attributes"))
    for _, semantic in drawn:
        torch.testing.assert_close(semantic, mu + logvar.exp() * noise)


def test_registration():
    (spec,) = gzsl_bench_methods()
    assert (spec.name, spec.factory, spec.fidelity) == ("acmr", ACMR, "official-code")
    assert (spec.preprocessing, spec.deterministic) == ("minmax", False)
    assert {point.value for point in entry_points(group="gzsl_bench", name="acmr")} == {
        "gzsl_bench_acmr"
    }
