"""What every closed-form method owes the harness, whatever it computes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from gzsl_bench_classic import conse, dap, gfzsl, iap, sae, sse, sync

from gzsl_bench import Task

SPECS = {spec.name: spec for spec in (m.SPEC for m in (dap, iap, conse, sae, gfzsl, sync, sse))}
every = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
fixed = [spec for spec in SPECS.values() if spec.deterministic]


def accuracy(scores, answers, classes):
    """Share of the rows of ``classes`` told right among them."""
    mine = torch.isin(answers, classes)
    return float((classes[scores[mine][:, classes].argmax(1)] == answers[mine]).double().mean())


@every
def test_better_than_chance_among_seen_and_among_unseen(spec, easy, train_on):
    task, test, answers = easy
    scores = train_on(spec, task)(test)
    assert scores.shape == (len(test), task.num_classes)
    assert accuracy(scores, answers, task.seen) > 0.7  # chance is 0.1
    assert accuracy(scores, answers, task.unseen) > 0.5  # chance is 0.25


@every
def test_same_seed_same_scores_and_no_global_random_state(spec, easy, train_on):
    task, test, _ = easy
    fresh = Task(task.features, task.labels, task.attributes, task.seen, task.unseen)
    first = train_on(spec, task, seed=3)(test)
    random.seed(9)
    np.random.seed(9)
    torch.manual_seed(9)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    second = train_on(spec, fresh, seed=3)(test)
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert torch.equal(first, second)
    assert before == after


@every
def test_the_seed_matters_only_where_it_is_said_to(spec, easy, train_on):
    task, test, _ = easy
    same = torch.equal(train_on(spec, task, seed=0)(test), train_on(spec, task, seed=1)(test))
    assert same == spec.deterministic


@every
def test_a_row_is_scored_alone(spec, easy, train_on):
    task, test, _ = easy
    trained = train_on(spec, task)
    together = trained(test)
    alone = torch.cat([trained(row[None]) for row in test[:7]])
    torch.testing.assert_close(together[:7], alone, rtol=1e-5, atol=1e-6)


@every
def test_the_order_of_classes_does_not_matter(spec, easy, train_on):
    task, test, _ = easy
    order = torch.randperm(task.num_classes, generator=torch.Generator().manual_seed(1))
    new = order.argsort()  # class order[i] becomes class i
    attributes = task.attributes[order]
    seen, unseen = new[task.seen].sort().values, new[task.unseen].sort().values
    shuffled = Task(task.features, new[task.labels], attributes, seen, unseen)
    here, there = train_on(spec, task)(test), train_on(spec, shuffled)(test)
    spread = float(here.double().std())
    tolerance = 1e-5 if spec.deterministic else 1e-3
    assert float((here[:, order] - there).abs().max()) < tolerance * spread


@every
def test_the_order_of_rows_does_not_matter(spec, easy, train_on):
    if not spec.deterministic:
        pytest.skip("batches are drawn by position")
    task, test, _ = easy
    order = torch.randperm(len(task.labels), generator=torch.Generator().manual_seed(2))
    shuffled = Task(
        task.features[order], task.labels[order], task.attributes, task.seen, task.unseen
    )
    here, there = train_on(spec, task)(test), train_on(spec, shuffled)(test)
    assert float((here - there).abs().max()) < 1e-5 * float(here.double().std())


@every
def test_the_task_is_left_alone(spec, easy, train_on):
    task, _, _ = easy
    before = [t.clone() for t in (task.features, task.labels, task.attributes)]
    train_on(spec, task)
    train_on(spec, task)
    for tensor, old in zip((task.features, task.labels, task.attributes), before, strict=True):
        assert torch.equal(tensor, old)
    assert task.shared_changed() is None


@every
def test_the_spec_is_complete(spec):
    assert spec.citation
    assert spec.summary.endswith(".")
    assert spec.fidelity in ("official-code", "paper", "approximation")
    for name, field in spec.factory.Config.model_fields.items():
        assert field.description, name
    with pytest.raises(ValueError, match="nonsense"):
        spec.factory.Config(nonsense=1)


@every
def test_one_row_a_class_and_one_unseen_class(spec, train_on):
    draw = torch.Generator().manual_seed(0)
    attributes = torch.eye(5)
    labels = torch.tensor([0, 1, 3, 4])
    features = torch.rand(4, 6, generator=draw)
    task = Task(features, labels, attributes, labels.clone(), torch.tensor([2]))
    scores = train_on(spec, task)(torch.rand(9, 6, generator=draw))
    assert scores.shape == (9, 5)
    assert bool(scores.isfinite().all())
