"""The pretended device finds what a GPU would refuse, and nothing where torch allows it."""

from __future__ import annotations

import copy

import pytest
import torch

from gzsl_bench.testing import tasks
from gzsl_bench.testing.pretend import PretendedDevice
from gzsl_bench.testing.trials import Trials


@pytest.fixture
def there(faults):
    """A [96, 16] tensor on the pretended device, and that device."""
    from gzsl_bench import MethodSpec

    trials = Trials(MethodSpec("x", faults.Honest, citation="", fidelity="paper"))
    pretended = PretendedDevice()
    return pretended, pretended.place(trials.setup(tasks.EASY)).task.features


REFUSED = {
    "default device": lambda x, d: x + torch.ones(16),
    "named cpu": lambda x, d: x @ torch.eye(16, device="cpu"),
    "list": lambda x, d: torch.cat([x, torch.zeros(1, 16)]),
    "in place": lambda x, d: torch.zeros(16).add_(x[0]),
    "moved back": lambda x, d: x.cpu() * x,
    "array": lambda x, d: x + torch.from_numpy(x.cpu().numpy()),
    "numpy": lambda x, d: x.numpy(),
    "module": lambda x, d: torch.nn.Linear(16, 3)(x),
    "module of modules": lambda x, d: torch.nn.Sequential(torch.nn.Linear(16, 3))(x),
    "index": lambda x, d: torch.arange(96)[(x[:, 0] > 0)],
    "generator": lambda x, d: torch.rand(3, generator=torch.Generator(), device=d),
    "generator of another": lambda x, d: torch.rand(3, generator=torch.Generator(d)),
    "drawn in place": lambda x, d: x.clone().normal_(generator=torch.Generator()),
    "loss": lambda x, d: torch.nn.functional.mse_loss(x, torch.zeros(96, 16)),
}
ALLOWED = {
    "device": lambda x, d: x + torch.ones(16, device=d),
    "its device": lambda x, d: x + torch.ones(16, device=x.device),
    "like": lambda x, d: x + torch.zeros_like(x) + x.new_ones(16),
    "moved": lambda x, d: x + sum(torch.ones(16).to(y) for y in (d, x)) + torch.ones(1).type_as(x),
    "number": lambda x, d: x * torch.tensor(2.0),
    "copied": lambda x, d: x.clone().copy_(torch.ones(96, 16)),
    "assigned": lambda x, d: x.clone().__setitem__(0, torch.ones(16)),
    "index of the host": lambda x, d: x[torch.arange(3)],
    "numpy": lambda x, d: x.detach().cpu().numpy(),
    "back and forth": lambda x, d: x + x.cpu().double().to(d),
    "the host by itself": lambda x, d: torch.ones(3) @ torch.eye(3),
    "module": lambda x, d: torch.nn.Linear(16, 3).to(d)(x),
    "copied module": lambda x, d: copy.deepcopy(torch.nn.Linear(16, 3, device=d))(x),
    "buffers": lambda x, d: torch.nn.BatchNorm1d(16).to(d)(x),
    "generator": lambda x, d: torch.rand(3, generator=torch.Generator(d).manual_seed(1), device=d),
    "drawn and moved": lambda x, d: torch.rand(16, generator=torch.Generator()).to(d) * x,
    "gradient": lambda x, d: _step(x, d),
    "batches": lambda x, d: [b.sum() for (b,) in _loader(x)],
}  # fmt: skip


def _step(x, d):
    net = torch.nn.Sequential(torch.nn.Linear(16, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).to(d)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()


def _loader(x):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=32)


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_gpu_refuses_is_found(there, name):
    pretended, x = there
    with pretended:
        REFUSED[name](x, x.device)
    assert len(pretended.slips) == 1
    assert "test_pretend.py, line" in pretended.slips[0]


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_gpu_allows_is_not(there, name):
    pretended, x = there
    with pretended:
        ALLOWED[name](x, x.device)
    assert pretended.slips == []


def test_values_are_those_of_the_cpu_and_moving_makes_copies(there):
    pretended, x = there
    before = x.clone()
    with pretended:
        moved = x.cpu()
        moved.zero_()
        assert x.device == torch.device("cpu", 0)
        assert moved.device == torch.device("cpu")
    assert torch.equal(x, before)
    assert pretended.slips == []


def test_torch_is_what_it_was_afterwards(there):
    pretended, x = there
    before = torch.Generator, torch.from_numpy
    with pytest.raises(ValueError, match="midway"), pretended:
        raise ValueError("midway")
    assert (torch.Generator, torch.from_numpy) == before
    assert x.device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("name", REFUSED)
def test_a_gpu_does_refuse_it(name):
    device = torch.device("cuda", 0)
    x = torch.rand(96, 16, device=device)
    with pytest.raises((RuntimeError, TypeError)):
        REFUSED[name](x, device)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ALLOWED)
def test_a_gpu_does_allow_it(name):
    device = torch.device("cuda", 0)
    ALLOWED[name](torch.rand(96, 16, device=device), device)
