"""Named arithmetics: what bf16 rounds and what it leaves alone; TF32 switched and put back."""

from __future__ import annotations

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import Linear, StackedAdam, arithmetic


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


RUNS = [Seeded(5), Seeded(1)]


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rounded(x):
    return x.bfloat16().float()


@pytest.mark.parametrize("relu", [False, True])
def test_products_are_rounded_and_nothing_else(relu):
    layer = Linear(RUNS, "a", 40, 30, activation="relu" if relu else None, precision="bf16")
    with torch.no_grad():
        layer.bias.copy_(numbers(2, 30, seed=4))
    x = numbers(2, 16, 40).requires_grad_()
    out = layer(x)
    assert (out.dtype, layer.flat.dtype, layer.grad.dtype) == (torch.float32,) * 3
    product = rounded(torch.einsum("rbi,roi->rbo", rounded(x.detach()), rounded(layer.weight)))
    expected = product + layer.bias[:, None]
    if relu:
        expected = expected.relu()
    # The sums differ in order, so a last bit of bfloat16 may.
    torch.testing.assert_close(out, expected, rtol=2**-8, atol=2**-8)

    probe = numbers(2, 16, 30, seed=1)
    (out * probe).sum().backward()
    passed = probe * (out > 0) if relu else probe
    torch.testing.assert_close(layer.bias_grad, passed.sum(1))  # never rounded
    low = rounded(passed)
    torch.testing.assert_close(
        layer.weight_grad,
        torch.einsum("rbo,rbi->roi", low, rounded(x.detach())),
        rtol=2**-7,
        atol=2**-7,
    )
    torch.testing.assert_close(
        x.grad, torch.einsum("rbo,roi->rbi", low, rounded(layer.weight)), rtol=2**-7, atol=2**-7
    )
    # Inference is in full precision.
    one = layer.of(1)
    exact = x.detach()[1:2] @ layer.weight[1].T + layer.bias[1]
    torch.testing.assert_close(one(x.detach()[1:2]), exact.relu() if relu else exact)


def train(runs, precision, steps=5):
    layer = Linear(runs, "a", 30, 20, precision=precision)
    optimizer = StackedAdam([([layer], [1e-2] * len(runs))])
    for step in range(steps):
        x = torch.stack([torch.randn(9, 30, generator=r.generator(f"{step}")) for r in runs])
        (layer(x) + layer(2 * x)).square().sum().backward()
        optimizer.step()
    return layer


def test_weights_are_rounded_anew_after_every_update():
    layer = train(RUNS, "bf16")
    before = layer.low.clone()
    layer(numbers(2, 3, 30))
    assert not torch.equal(layer.low, before)
    assert torch.equal(layer.low, layer.flat.detach().bfloat16())
    # Training went the same way as in float32, but not to the same place.
    exact = train(RUNS, "float32")
    torch.testing.assert_close(layer.flat, exact.flat, rtol=0.2, atol=5e-3)
    assert not torch.equal(layer.flat, exact.flat)


def test_a_stack_equals_its_runs_alone_bit_for_bit():
    stacked = train(RUNS, "bf16")
    for r, run in enumerate(RUNS):
        assert torch.equal(train([run], "bf16").flat[0], stacked.flat[r])


def test_tf32_is_switched_for_the_training_and_put_back():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    seen = {}
    for name in ("tf32", "float32", "bf16"):
        with arithmetic(name):
            seen[name] = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    assert seen == {
        "tf32": ("high", True),
        "float32": ("highest", False),
        "bf16": ("highest", False),
    }
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
    with pytest.raises(ZeroDivisionError), arithmetic("tf32"):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before[0]
