"""What the iteratively trained methods have in common, each on the same easy task."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from gzsl_bench_classic import ale, cmt, dem, devise, latem, sje

from gzsl_bench import BatchedMethod, DatasetInfo, NotApplicable, Run, Task

CLASSES, PER_CLASS = 14, 40
UNSEEN = torch.tensor([1, 4, 8, 13])
#: Settings under which the easy task is learnt in a moment.
SETTINGS = {
    devise.SPEC: {"epochs": 20, "lr": 0.1, "margin": 0.5, "scaling": "l2"},
    sje.SPEC: {"epochs": 20, "lr": 0.1, "margin": 0.5, "scaling": "zscore"},
    ale.SPEC: {"epochs": 20, "lr": 0.1},
    latem.SPEC: {"epochs": 20, "lr": 3e-3, "maps": 2},
    cmt.SPEC: {"epochs": 30, "lr": 3e-3, "hidden": 24, "batch": 32, "penalty": 1e-3},
    cmt.STAR_SPEC: {"epochs": 30, "lr": 3e-3, "hidden": 24, "batch": 32, "penalty": 1e-3},
    dem.SPEC: {"epochs": 40, "lr": 1e-3, "hidden": 64, "penalty": 1e-5, "checkpoint_every": 20},
}
SPECS = list(SETTINGS)
each = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


@dataclass
class Sink:
    """Scores test rows at every checkpoint, as the harness does."""

    test: torch.Tensor
    logs: list = field(default_factory=list)
    scores: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)

    def log(self, step, values):
        self.logs.append((step, values))

    def checkpoint(self, number, scorer):
        with torch.no_grad():
            self.scores[number] = scorer(self.test).clone()

    def progress(self, done, total):
        self.steps.append((done, total))

    @property
    def last(self):
        return self.scores[max(self.scores)]


def easy(preprocessing, *, width=5, dim=30, noise=0.4):
    """A linear image of the class embedding plus noise."""
    draw = torch.Generator().manual_seed(3)
    attributes = torch.rand(CLASSES, width, generator=draw) ** 2
    if width > 1:
        attributes = torch.nn.functional.normalize(attributes)
    mix = torch.randn(width, dim, generator=draw)
    seen = torch.tensor([c for c in range(CLASSES) if c not in UNSEEN])
    labels = seen.repeat(PER_CLASS)[torch.randperm(10 * PER_CLASS, generator=draw)]
    answers = torch.arange(CLASSES).repeat(10)

    def rows(of):
        clean = attributes[of] @ mix
        spread = noise * clean.std(0) * torch.randn(len(of), dim, generator=draw)
        return (clean + spread).sub(-1).clamp(min=0)

    train, test = rows(labels), rows(answers)
    if preprocessing == "zscore":
        mean, deviation = train.mean(0), train.std(0)
        train, test = (train - mean) / deviation, (test - mean) / deviation
    if preprocessing == "l2":
        train, test = (torch.nn.functional.normalize(x) for x in (train, test))
    return Task(train, labels, attributes, seen, UNSEEN), test, answers


def train(spec, task, test, seeds=(0,), changes=({},), **config):
    """Train one stack; ``changes`` are the stackable values in which the runs differ."""
    settings = [
        spec.factory.Config(**{**SETTINGS[spec], **config, **change})
        for change in (changes if len(changes) == len(seeds) else changes * len(seeds))
    ]
    sinks = [Sink(test) for _ in seeds]
    runs = [
        Run(seed, task.device, one, sink, alone=len(seeds) == 1)
        for seed, one, sink in zip(seeds, settings, sinks, strict=True)
    ]
    assert not spec.factory(settings[0]).fit_batch(task, runs)
    return runs, sinks


def accuracies(task, scores, answers):
    """Mean recall of unseen and of seen classes, all classes allowed."""
    hit = scores.argmax(1) == answers
    recall = torch.stack([hit[answers == c].float().mean() for c in range(CLASSES)])
    return float(recall[task.unseen].mean()), float(recall[task.seen].mean())


@each
def test_better_than_chance_on_seen_and_unseen(spec):
    task, test, answers = easy(spec.preprocessing)
    _, sinks = train(spec, task, test, seeds=(0, 1, 2))
    found = torch.tensor([accuracies(task, sink.last, answers) for sink in sinks]).mean(0)
    among = sinks[0].last[:, task.unseen].argmax(1)
    rows = torch.isin(answers, task.unseen)
    alone = (task.unseen[among] == answers)[rows].float().mean()
    # By chance 1/14 of all, and 1/4 among the unseen classes.
    assert found[0] > 3 / 14
    assert found[1] > 6 / 14
    assert alone > 0.5


@each
def test_reports(spec):
    task, test, _ = easy(spec.preprocessing)
    epochs = 6 if spec is dem.SPEC else 3
    changes = {"checkpoint_every": 4} if spec is dem.SPEC else {}
    (run,), (sink,) = train(spec, task, test, epochs=epochs, **changes)
    assert run.failure is None
    assert list(sink.scores) == ([4, 6] if spec is dem.SPEC else [1, 2, 3])
    assert [step for step, _ in sink.logs] == list(range(1, epochs + 1))
    losses = [values["loss"] for _, values in sink.logs]
    assert losses[-1] < losses[0]
    assert sink.steps[-1] == (epochs, epochs)
    assert all(scores.shape == (140, CLASSES) for scores in sink.scores.values())
    assert all(bool(scores.isfinite().all()) for scores in sink.scores.values())


@each
@pytest.mark.parametrize("width", [5, 24])
def test_stacked_equals_alone_bit_for_bit(spec, width):
    """The middle run differs in every stackable value."""
    task, test, _ = easy(spec.preprocessing, width=width)
    seeds = (3, 0, 5)
    base = spec.factory.Config(**SETTINGS[spec])
    loose = [
        name
        for name, info in spec.factory.Config.model_fields.items()
        if (info.json_schema_extra or {}).get("stackable")
    ]
    assert "lr" in loose
    other = {name: getattr(base, name) * 0.9 for name in loose}
    changes = ({}, other, {})
    _, together = train(spec, task, test, seeds, changes, epochs=4, **_every(spec))
    for seed, change, sink in zip(seeds, changes, together, strict=True):
        _, (alone,) = train(spec, task, test, (seed,), (change,), epochs=4, **_every(spec))
        assert alone.logs == sink.logs
        assert list(alone.scores) == list(sink.scores)
        for number, scores in alone.scores.items():
            assert torch.equal(scores, sink.scores[number])
    assert not torch.equal(together[0].last, together[2].last)


def _every(spec):
    return {"checkpoint_every": 1} if spec is dem.SPEC else {}


@each
def test_global_random_state_plays_no_part(spec):
    task, test, _ = easy(spec.preprocessing)
    torch.manual_seed(0)
    _, (first,) = train(spec, task, test, epochs=2)
    after = torch.rand(3)
    torch.manual_seed(1)
    _, (second,) = train(spec, task, test, epochs=2)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), after)
    assert torch.equal(first.last, second.last)


@each
def test_embeddings_of_unseen_classes_do_not_enter_the_fit(spec):
    task, test, _ = easy(spec.preprocessing)
    changed = task.attributes.clone()
    changed[task.unseen] = changed[task.unseen].flip(1)
    other = Task(task.features, task.labels, changed, task.seen, task.unseen)
    _, (before,) = train(spec, task, test, epochs=2)
    _, (after,) = train(spec, other, test, epochs=2)
    torch.testing.assert_close(before.last[:, task.seen], after.last[:, task.seen])
    assert not torch.allclose(before.last[:, task.unseen], after.last[:, task.unseen])


@each
def test_rows_are_scored_one_by_one(spec):
    task, test, _ = easy(spec.preprocessing)
    _, (whole,) = train(spec, task, test, epochs=2)
    _, (half,) = train(spec, task, test[::2], epochs=2)
    torch.testing.assert_close(whole.last[::2], half.last, rtol=1e-4, atol=1e-4)


@each
def test_a_run_that_diverges_fails_alone(spec):
    task, test, _ = easy(spec.preprocessing)
    wild = {"lr": 3e38}
    runs, sinks = train(spec, task, test, (0, 1, 2), ({}, wild, {}), epochs=4, **_every(spec))
    assert [run.failure is None for run in runs] == [True, False, True]
    for place, seed in ((0, 0), (2, 2)):
        _, (clean,) = train(spec, task, test, (seed,), epochs=4, **_every(spec))
        assert torch.equal(sinks[place].last, clean.last)


@each
@pytest.mark.parametrize("case", ["one unseen", "one image", "few rows", "one attribute"])
def test_awkward_shapes(spec, case):
    task, test, _ = easy(spec.preprocessing, width=1 if case == "one attribute" else 5)
    if case == "one unseen":
        keep = torch.tensor([c for c in range(CLASSES) if c not in (4, 8, 13)])
        places = torch.searchsorted(keep, task.labels)
        seen = torch.searchsorted(keep, task.seen)
        task = Task(task.features, places, task.attributes[keep], seen, torch.tensor([1]))
    if case == "one image":
        rows = torch.cat([torch.nonzero(task.labels != 0)[:, 0], torch.tensor([3])])
        labels = task.labels[rows]
        labels[-1] = 0
        task = Task(task.features[rows], labels, task.attributes, task.seen, task.unseen)
    if case == "few rows":
        rows = torch.tensor([int(torch.nonzero(task.labels == c)[0]) for c in task.seen])
        task = Task(task.features[rows], task.labels[rows], task.attributes, task.seen, task.unseen)
    (run,), (sink,) = train(spec, task, test, epochs=2)
    assert run.failure is None
    assert bool(sink.last.isfinite().all())


@pytest.mark.parametrize("spec", SPECS[:4], ids=lambda spec: spec.name)
def test_one_seen_class_cannot_be_ranked(spec):
    task, test, _ = easy(spec.preprocessing)
    rows = task.labels == 0
    one = Task(
        task.features[rows], task.labels[rows], task.attributes, torch.tensor([0]), task.unseen
    )
    with pytest.raises(NotApplicable, match="two classes"):
        train(spec, one, test)


@each
def test_configuration_is_described_and_checked(spec):
    config = spec.factory.Config
    assert all(info.description for info in config.model_fields.values())
    for field_name in ("lr", "epochs"):
        with pytest.raises(ValueError, match=field_name):
            config(**{field_name: 0})
    for name in ("CUB", "SUN", "AWA1", "AWA2", "APY", "FLO", "digits"):
        config(**spec.factory.defaults(DatasetInfo(name, "res101", "att")))


@each
def test_registration(spec):
    from gzsl_bench_classic import SPECS as OFFERED

    assert spec in OFFERED
    assert issubclass(spec.factory, BatchedMethod)
    assert not spec.deterministic
    assert spec.summary
    expected = {"latem": "zscore", "cmt": "zscore", "cmt_star": "zscore", "ale": "l2"}
    assert spec.preprocessing == expected.get(spec.name, "none")
