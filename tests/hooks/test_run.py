"""The handle of a run: checkpoint numbers, failures, streams; and the checked configuration."""

from __future__ import annotations

import random
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from pydantic import Field, JsonValue, ValidationError

import gzsl_bench
from gzsl_bench import Config, Run, Scorer, stackable
from gzsl_bench.errors import PluginError, unknown_name
from gzsl_bench.hooks.config import stackable_fields
from gzsl_bench.hooks.streams import derive_seed, generator


class Sink:
    def __init__(self):
        self.heard = []

    def log(self, step, values):
        self.heard.append(("log", step, values))

    def checkpoint(self, number, scorer):
        self.heard.append(("checkpoint", number))

    def progress(self, done, total):
        self.heard.append(("progress", done, total))


def make_run(seed=0):
    sink = Sink()
    return Run(seed, torch.device("cpu"), Config(), sink), sink


def test_reports_reach_the_sink_as_plain_numbers():
    run, sink = make_run()
    run.log(np.int64(3), loss=torch.tensor(1.5), other=2)
    run.checkpoint(np.int64(4), print)
    run.progress(1, 2)
    assert sink.heard == [
        ("log", 3, {"loss": 1.5, "other": 2.0}),
        ("checkpoint", 4),
        ("progress", 1, 2),
    ]
    assert run.checkpoints_offered == 4


@pytest.mark.parametrize("second", [5, 4, -1])
def test_checkpoint_numbers_must_increase(second):
    run, sink = make_run()
    run.checkpoint(5, print)
    with pytest.raises(PluginError, match=f"must increase, but {second} came after 5"):
        run.checkpoint(second, print)
    assert sink.heard == [("checkpoint", 5)]


def test_a_fraction_cannot_smuggle_a_number_in_twice():
    run, sink = make_run()
    run.checkpoint(1, print)
    with pytest.raises((PluginError, TypeError, ValueError)):
        run.checkpoint(1.5, print)
    assert sink.heard == [("checkpoint", 1)]


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            lambda run: run.log({"loss": 1.0}),
            r"the step of run.log is a dict; .*run.log\(step, loss",
        ),
        (
            lambda run: run.log(1, loss=torch.ones(3)),
            r"'loss' of run.log is a Tensor of shape \[3\]",
        ),
        (lambda run: run.log(1, loss="low"), "'loss' of run.log is 'low'; one number is expected"),
        (lambda run: run.checkpoint(1.0, print), "number of a checkpoint is 1.0; a whole number"),
        (
            lambda run: run.checkpoint(1, np.zeros((2, 3))),
            r"a ndarray of shape \[2, 3\] is no scorer; a",
        ),
        (lambda run: run.progress("half", 1), r"of run.progress\(done, total\) is 'half'; a whole"),
    ],
)
def test_a_wrong_report_is_told_in_a_sentence(report, text):
    run, sink = make_run()
    with pytest.raises(PluginError, match=text):
        report(run)
    assert sink.heard == []


def test_the_first_failure_is_kept():
    run, _ = make_run()
    run.fail("the loss is NaN")
    run.fail("then everything")
    assert run.failure == "the loss is NaN"


def test_streams():
    one, again = generator(3, "batches"), generator(3, "batches")
    assert torch.equal(torch.rand(50, generator=one), torch.rand(50, generator=again))
    draws = [
        torch.rand(2000, generator=generator(seed, purpose), dtype=torch.float64)
        for seed in (0, 1, 2)
        for purpose in ("batches", "noise", "noise ")
    ]
    correlation = np.corrcoef(torch.stack(draws).numpy())
    # Five standard errors of 36 independent pairs of 2000.
    assert np.abs(correlation - np.eye(len(draws))).max() < 5 / np.sqrt(2000)
    assert len({derive_seed(s, p) for s in range(100) for p in "abcdefghij"}) == 1000


def test_streams_do_not_change_between_versions():
    """Records made by earlier versions could not be reproduced otherwise."""
    import hashlib

    digest = hashlib.sha256(b"gzsl-bench/streams/1/7/batches").digest()
    assert derive_seed(7, "batches") == int.from_bytes(digest[:8], "little") // 2


def test_the_purpose_restarts_its_stream_and_no_other():
    run, _ = make_run(5)
    first = torch.rand(3, generator=run.generator("a"))
    torch.rand(9, generator=run.generator("b"))
    assert torch.equal(first, torch.rand(3, generator=run.generator("a")))


def test_no_global_generator_is_touched_or_read():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy(), random.getstate()
    drawn = torch.rand(4, generator=generator(0, "x"))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()
    torch.manual_seed(99)
    assert torch.equal(drawn, torch.rand(4, generator=generator(0, "x")))


def test_a_scorer_is_its_two_parts():
    scorer = Scorer(embed=lambda x: x + 1, score=lambda e: e * 2)
    assert scorer(torch.tensor([1.0])).tolist() == [4.0]


class Knobs(Config):
    width: int = 4
    rate: float = stackable(0.1, "learning rate", gt=0)


def test_configurations_are_strict_and_frozen():
    assert stackable_fields(Knobs) == {"rate"}
    for bad in ({"widht": 3}, {"rate": 0}, {"width": "wide"}, {"rate": float("inf")}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Knobs(**bad)
    with pytest.raises(ValueError, match="frozen"):
        Knobs().width = 3


def test_unknown_names_get_a_hint():
    text = unknown_name("method", "acmrr", ["eszsl", "acmr"])
    assert text == "unknown method 'acmrr'; did you mean 'acmr'? available: acmr, eszsl"
    assert "did you mean" not in unknown_name("method", "zzz", ["acmr"])
    assert unknown_name("data set", "cub", ["CUB", "SUN"]).count("'CUB'") == 1
    assert unknown_name("x", "y", []).endswith("available: none")


def test_every_public_name_exists():
    for name in gzsl_bench.__all__:
        assert getattr(gzsl_bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Metod'"):
        _ = gzsl_bench.Metod


def test_true_and_false_are_no_numbers():
    """Pydantic would train ``epochs: true`` for one epoch."""

    class Settings(Config):
        epochs: int = 1
        rate: float | None = None
        on: bool = False
        maybe: bool | int = 3
        form: Literal["a", True] = "a"
        anything: JsonValue = None
        some: Annotated[bool | None, Field(description="x")] = None

    for name in ("epochs", "rate"):
        for value in (True, False):
            with pytest.raises(ValidationError, match="true and false are no value of it") as found:
                Settings.model_validate({name: value})
            assert found.value.errors()[0]["loc"] == (name,)
    truths = ("on", "maybe", "form", "anything", "some")
    taken = Settings.model_validate(dict.fromkeys(truths, True) | {"epochs": 2})
    assert [getattr(taken, name) for name in (*truths, "epochs")] == [True] * 5 + [2]
