"""RMSprop and SGD of many runs beside torch's own, each run with its rate."""

from __future__ import annotations

import pytest
import torch

from gzsl_bench.stacked import ElementwiseAdam, StackedRMSprop, StackedSGD

MADE = {
    "adam": (ElementwiseAdam, torch.optim.Adam, {"betas": (0.5, 0.99), "weight_decay": 0.1}),
    "sgd": (StackedSGD, torch.optim.SGD, {}),
    "sgd with momentum": (StackedSGD, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop": (StackedRMSprop, torch.optim.RMSprop, {"weight_decay": 0.1}),
    "rmsprop with momentum": (
        StackedRMSprop,
        torch.optim.RMSprop,
        {"momentum": 0.9, "alpha": 0.9, "eps": 1e-5},
    ),
}


@pytest.mark.parametrize("case", MADE)
def test_each_run_moves_as_with_an_optimiser_of_its_own(case: str) -> None:
    stacked, plain, settings = MADE[case]
    rates, shares = [0.1, 0.003], [1.0, 0.5, 0.25]
    source = torch.Generator().manual_seed(0)
    starts = [torch.randn(2, *shape, generator=source).double() for shape in ((3, 4), (5,))]
    targets = [torch.randn(3, *start.shape, generator=source).double() for start in starts]
    tensors = [start.clone() for start in starts]
    optimizer = stacked(tensors, rates, **settings)
    for step, share in enumerate(shares):
        optimizer.schedule(share)
        optimizer.begin()
        sum(((t - w[step]) ** 3).sum() for t, w in zip(tensors, targets, strict=True)).backward()
        optimizer.step()
    for run, rate in enumerate(rates):
        alone = [start[run].clone().requires_grad_() for start in starts]
        one = plain(alone, lr=rate, **settings)
        for step, share in enumerate(shares):
            one.param_groups[0]["lr"] = rate * share
            one.zero_grad()
            sum(
                ((t - w[step, run]) ** 3).sum() for t, w in zip(alone, targets, strict=True)
            ).backward()
            one.step()
        for whole, own in zip(tensors, alone, strict=True):
            torch.testing.assert_close(whole.detach()[run], own.detach(), rtol=1e-12, atol=1e-12)


def test_an_adam_begun_anew_is_a_new_one() -> None:
    found = []
    for earlier in (0, 3):
        tensor = torch.ones(1, 2)
        optimizer = ElementwiseAdam([tensor], [0.1])
        for _ in range(earlier):
            optimizer.begin()
            (tensor * torch.tensor([1.0, -2.0])).sum().backward()
            optimizer.step()
        optimizer.restart()
        before = tensor.detach().clone()
        optimizer.begin()
        (3 * tensor).sum().backward()
        optimizer.step()
        found.append(tensor.detach() - before)
    torch.testing.assert_close(*found)


def test_every_run_needs_its_rate() -> None:
    with pytest.raises(ValueError, match="1 rates for a tensor of 2 runs"):
        StackedSGD([torch.zeros(2, 3)], [0.1])
