"""Cells trained again for their latents: the right checkpoint, at the right moment, no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gzsl_bench import Config, Latents, Method, MethodSpec, Scorer
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.engine.visualize import agreement, draw_again, wanted
from gzsl_bench.engine.worker import Worker
from gzsl_bench.errors import PluginError, WorkerError
from gzsl_bench.records.latents import predictions_digest
from gzsl_bench.results.view import Results

SUITE = "name: s\ndatasets: [tiny]\nmethods: [moving]\nseeds: 2\nselection: [{}]\n"


def times(x, y):
    """A product that rounds alike wherever its factors lie in memory."""
    return (x[:, :, None] * y).sum(1)


class Moving(Method):
    """Embeds by weights that it changes in place after every checkpoint; latents on demand."""

    class Config(Config):
        shared: bool = False
        breaks: str = ""

    calls: list = []  # noqa: RUF012

    def fit(self, task, run):
        config, embeddings = self.config, task.attributes
        start = torch.randn(task.features.shape[1], 4, generator=run.generator("start"))
        weights = start.clone()
        asked = []

        def visual(x):
            asked.append("visual")
            return times(x, weights)

        def semantic(classes):
            asked.append(classes.tolist())
            noise = torch.randn(len(classes), 4, generator=run.generator("visualize"))
            return embeddings[classes] + 0.1 * noise

        def score(x):
            return times(times(x, weights), embeddings.T)

        one = Latents(visual, semantic)
        for number in (2, 4, 6):
            offered = one if config.shared else Latents(visual, semantic)
            if config.breaks == "none":
                offered = None
            if config.breaks == "raises":
                raise ZeroDivisionError("planted")
            if config.breaks == "given up":
                run.fail("planted")
                return
            run.checkpoint(number, Scorer(lambda x: x, score, offered))
            if not config.shared:
                weights -= 0.3 * start  # the scorer that was offered must not be used again
        Moving.calls.append(asked)


@pytest.fixture
def bench(make_registry, resolve_text, run_inline, tmp_path):
    """``(selection, config) -> suite, store, worker``; the cells are trained unless told not to."""

    def go(selection="last", config="", train=True, version="1.0"):
        spec = MethodSpec("moving", Moving, "none", "paper", latents=True)
        registry = make_registry(spec, version=version)
        text = SUITE.format(selection)
        if config:
            text = text.replace("[moving]", f"[{{use: moving, config: {{{config}}}}}]")
        suite = resolve_text(text, registry)
        _, store, _ = run_inline(suite.cells if train else (), registry)
        settings = WorkerSettings(store.layout.out, None, None, "cpu", 1)
        Moving.calls.clear()
        return suite, store, Worker(registry, settings, lambda event: None)

    return go


def again(cell, checkpoint, store, worker):
    return draw_again(worker, cell, checkpoint, store.read(cell.key), lambda done, total: None)


def bytes_of(store):
    return {p: p.read_bytes() for p in sorted(store.layout.cells.rglob("*")) if p.is_file()}


def test_training_again_gives_the_record_and_touches_nothing(bench, tiny):
    suite, store, worker = bench()
    cell = next(c for c in suite.cells if c.seed == 1)
    before = bytes_of(store)
    choice = wanted(Results(suite, store), cell)
    assert (choice.rule, choice.checkpoint, choice.note) == ("last", 6, "")
    kept = again(cell, choice.checkpoint, store, worker)
    assert agreement(kept, Results(suite, store), cell).equal
    assert bytes_of(store) == before
    assert kept.last
    assert kept.digest == predictions_digest(store.read(cell.key).predictions())

    # Images in the file's order, whatever order they were shown in; samples by class.
    rows = np.concatenate([tiny.test_seen, tiny.test_unseen])
    assert np.array_equal(kept.labels, tiny.labels[rows])
    assert np.array_equal(kept.classes, np.sort(tiny.labels[rows]))
    # At the third checkpoint 0.6 of the start are gone.
    start = torch.randn(5, 4, generator=_stream(1, "start"))
    expected = torch.from_numpy(tiny.features[rows]) @ (0.4 * start)
    torch.testing.assert_close(torch.from_numpy(kept.visual), expected)
    embeddings = torch.from_numpy(tiny.attributes.astype(np.float32))
    noise = torch.randn(len(rows), 4, generator=_stream(1, "visualize"))
    semantic = embeddings[torch.from_numpy(kept.classes)] + 0.1 * noise
    torch.testing.assert_close(torch.from_numpy(kept.semantic), semantic)
    # Two calls: the wanted checkpoint's, and no others.
    assert [a if a == "visual" else sorted(a) for a in Moving.calls[-1]] == [
        "visual", kept.classes.tolist()
    ]  # fmt: skip


def _stream(seed, purpose):
    from gzsl_bench.hooks.streams import generator

    return generator(seed, purpose)


def test_latents_are_those_of_the_checkpoint_before_parameters_change(bench):
    suite, store, worker = bench()
    cell = suite.cells[0]
    found = {n: again(cell, n, store, worker) for n in (2, 4, 6)}
    steps = [found[n + 2].visual - found[n].visual for n in (2, 4)]
    # Weights move by -0.3 start each time: equal steps, none of them zero.
    assert np.abs(steps[0]).max() > 0.05
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-4)
    assert [found[n].last for n in (2, 4, 6)] == [False, False, True]


@pytest.mark.parametrize(("config", "calls"), [("shared: true", 1), ("", 3)])
def test_without_a_record_the_last_checkpoint_is_kept(bench, config, calls):
    """Nobody knows which is the last: each object is asked at once, a shared one once."""
    suite, store, worker = bench(config=config, train=False)
    cell = suite.cells[0]
    choice = wanted(Results(suite, store), cell)
    assert (choice.rule, choice.checkpoint) == ("last", None)
    kept = again(cell, None, store, worker)
    assert (kept.checkpoint, kept.last) == (6, True)
    assert Moving.calls[-1].count("visual") == calls
    assert agreement(kept, Results(suite, store), cell).equal is None
    known = again(cell, 6, store, worker)
    assert np.array_equal(known.visual, kept.visual)
    assert known.digest == kept.digest


def test_val_chooses_by_the_folds(bench):
    suite, store, worker = bench("val, best_test")
    cell = suite.cells[0]
    choice = wanted(Results(suite, store), cell)
    folds = [store.read(c.key).checkpoints for c in suite.cells if c.fold]
    means = {
        n: np.mean([r.metrics["harmonic_mean"] for rows in folds for r in rows if r.number == n])
        for n in (2, 4, 6)
    }
    assert choice.rule == "val"
    assert choice.checkpoint == max(means, key=lambda n: (means[n], n))
    assert again(cell, choice.checkpoint, store, worker).checkpoint == choice.checkpoint


def test_val_without_folds_says_so_and_takes_the_last(bench):
    suite, store, worker = bench("val")
    cell = suite.cells[0]
    without = replace(suite, cells=tuple(c for c in suite.cells if not c.fold))
    choice = wanted(Results(without, store), cell)
    assert (choice.rule, choice.checkpoint) == ("last", 6)
    assert "nothing is known of validation folds" in choice.note
    fresh, empty, _ = bench("val", train=False, version="2.0")
    choice = wanted(Results(fresh, empty), fresh.cells[0])
    assert (choice.rule, choice.checkpoint) == ("last", None)
    assert "nothing is recorded" in choice.note


def test_best_test_is_never_followed(bench):
    suite, store, _ = bench("best_test")
    assert wanted(Results(suite, store), suite.cells[0]).rule == "last"


def test_another_training_than_the_recorded_one_is_told(bench):
    suite, store, worker = bench()
    one, other = (next(c for c in suite.cells if c.seed == s) for s in (0, 1))
    kept = again(one, 6, store, worker)
    theirs = store.read(other.key).predictions()["predicted"][-1]
    changed = int((theirs != kept.predicted).sum())
    assert changed > 0
    found = agreement(kept, Results(suite, store), other)
    assert (found.equal, found.changed, found.rows) == (False, changed, len(theirs))
    assert f"{changed} of {len(theirs)} predictions" in found.words
    # Equal predictions and other scores are no bit-for-bit agreement.
    near = agreement(replace(kept, digest="0"), Results(suite, store), one)
    assert (near.equal, near.changed) == (False, 0)
    assert "predicts as its record does" in near.words


@pytest.mark.parametrize(
    ("breaks", "error", "words"),
    [
        ("none", PluginError, "checkpoint 2 offers no latents"),
        ("raises", WorkerError, "tiny · moving · seed 0: the training failed: ZeroDivisionError"),
        ("given up", WorkerError, "the training failed: planted"),
    ],
)
def test_what_goes_wrong_is_one_sentence(bench, breaks, error, words):
    suite, store, worker = bench(config=f"breaks: {breaks}", train=False)
    with pytest.raises(error, match=words):
        again(suite.cells[0], None, store, worker)


def test_a_checkpoint_that_does_not_come_is_named(bench):
    suite, store, worker = bench()
    with pytest.raises(PluginError, match=r"\[2, 4, 6\], of which none is checkpoint 5"):
        again(suite.cells[0], 5, store, worker)
