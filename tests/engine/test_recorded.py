"""A scorer's operations noted and done again, and what is found out not to be noted."""

from __future__ import annotations

import json

import pytest
import torch

from gzsl_bench.engine.recorded import RecordedScorer, record
from gzsl_bench.errors import NotApplicable, RecordError

ROWS = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.arange(24.0).view(6, 4)


def written(x: torch.Tensor) -> torch.Tensor:
    """In place, by places, with constants that are parts, turned, stretched, or of no axes."""
    out = x.new_empty(len(x), 5)
    out[:, [3, 0, 1, 2]] = (x @ WEIGHT[1:5].t()).relu_()
    out[:, 4] = x.sum(1) * torch.tensor(2.0) + WEIGHT[0, 0].expand(7)
    likely, where = out.double().softmax(1).topk(2)
    return WEIGHT.double()[where][:, 0, :3] * likely[:, :1] + torch.arange(3, device=x.device)


def test_what_is_read_back_gives_the_same_bits() -> None:
    found = record(written, ROWS)
    again = RecordedScorer(found.program, found.state, torch.device("cpu"))
    others = torch.flip(ROWS, (0,)) * 3
    assert torch.equal(again(others), written(others))
    assert torch.equal(again(others[:2]), written(others)[:2])
    # Of what a view shows no more is kept than it shows.
    assert sorted(len(each) for each in found.state.values() if each.dim() == 2) == [4, 6]


COUNTER = torch.zeros(())


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (lambda x: x + torch.randn(4), "draws random numbers"),
        (lambda x: x if x[0, 0] > 0 else -x, "decides by values"),
        (lambda x: x * len(x[x > 0]), "chooses by values how many there are"),
        (lambda x: x * len(x[:, 0].nonzero()), "chooses by values how many there are"),
        (lambda x: torch.from_numpy(x.numpy() * 2) @ WEIGHT.t(), "something else than tensors"),
        (lambda x: x * COUNTER.add_(1), "changes its own tensors"),
    ],
)
def test_what_cannot_be_noted_is_said(scorer, said: str) -> None:
    with pytest.raises(NotApplicable, match=said):
        record(scorer, ROWS)


def test_operations_that_reach_beyond_tensors_are_not_done() -> None:
    found = record(written, ROWS)
    told = json.loads(found.program)
    for name in ("aten.from_file.default", "prim.device.default", "aten.nothing.default", "aten"):
        told["steps"][0][0] = name
        with pytest.raises(RecordError, match="cannot be read"):
            RecordedScorer(json.dumps(told), found.state, torch.device("cpu"))
