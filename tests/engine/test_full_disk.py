"""A disk that fills up while records are written: a reason where one fits, else a sentence."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch

from gzsl_bench import Method, MethodSpec
from gzsl_bench.errors import RecordError
from gzsl_bench.records.record import FAILED
from gzsl_bench.records.store import RecordStore


class Ridge(Method):
    def fit(self, task, run):
        x, y = task.features.double(), task.attributes[task.labels].double()
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
        run.checkpoint(1, lambda v: v.double() @ weights @ task.attributes.double().T)


RIDGE = MethodSpec("ridge", Ridge, citation="", fidelity="paper", preprocessing="none")
SUITE = "name: s\ndatasets: [tiny]\nmethods: [ridge]\nseeds: 1\n"


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_reason_of_what_does_not_fit(
    make_registry, resolve_text, run_inline, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = make_registry(RIDGE)
    cells = resolve_text(SUITE, registry).cells
    monkeypatch.setattr(np.lib.format, "write_array", full)  # predictions take most of the room
    outcome, store, _ = run_inline(cells, registry)
    (record,) = outcome.failed
    assert record.status == FAILED
    assert "No space left on device" in record.cause
    assert record.checkpoints == ()
    monkeypatch.undo()
    again, store, _ = run_inline(cells, registry)
    assert again.done == 1
    assert store.read(cells[0].key).complete


def test_no_room_for_a_reason(
    make_registry, resolve_text, run_inline, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = make_registry(RIDGE)
    cells = resolve_text(SUITE, registry).cells
    monkeypatch.setattr(RecordStore, "_draft", full)
    with pytest.raises(RecordError, match="cannot be written.*No space left on device"):
        run_inline(cells, registry)
