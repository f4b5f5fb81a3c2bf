"""Where a method trains: on which device, in which process, within which time and memory."""

from __future__ import annotations

from gzsl_bench.engine.audit.observe import RunSpec, observe
from gzsl_bench.errors import NotApplicable
from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.testing.behaviour import ROUNDING
from gzsl_bench.testing.blame import blamed
from gzsl_bench.testing.fresh import Fresh, train_afresh
from gzsl_bench.testing.order import moved
from gzsl_bench.testing.report import Broken, Checks, Skipped, ends_in
from gzsl_bench.testing.trials import Trials

check: Checks[Trials] = Checks()


@check
def device(t: Trials) -> str | None:
    """It computes on run.device: found out with a pretended device, without a GPU, too."""
    base = blamed(t, "device")
    from gzsl_bench.testing.pretend import PretendedDevice

    pretended = PretendedDevice()
    setup = pretended.place(t.setup(base.shape))
    with t.alike(), pretended:
        observe(t.spec.factory, setup, [RunSpec(0, t.config)])
    if pretended.slips:
        raise Broken(
            f"on a GPU it would fail: {_first(pretended.slips)};"
            " create tensors with device=run.device or move them with .to(run.device)"
        )
    return None


def _first(findings: list[str]) -> str:
    more = len(findings) - 1
    return f"{findings[0]}, and {more} more" if more else findings[0]


@check
def captured_graphs(t: Trials) -> str | None:
    """Its steps can be captured as CUDA graphs and replayed: found out on a CPU, too."""
    from gzsl_bench.stacked.backend import pretending
    from gzsl_bench.testing.graphs import EmulatedGraphs, emulated

    base = t.steady()
    if t.device != "cpu":
        raise Skipped(f"checked by training on {t.device}")
    seeds = (0, 1) if issubclass(t.spec.factory, BatchedMethod) else (0,)
    specs = [RunSpec(seed, t.config) for seed in seeds]
    graphs = EmulatedGraphs()
    with pretending(emulated(graphs)):
        replayed = t.train(base.shape, specs)
    if graphs.waits:
        raise Broken(
            f"a GPU cannot capture its steps: {_first(graphs.waits)}; inside a step"
            " read no value back and make no tensor from Python numbers"
        )
    if not graphs.captures:
        raise NotApplicable("it captures no steps (gzsl_bench.stacked, more than one epoch)")
    for one, other in zip(replayed, t.as_on_a_gpu(*seeds), strict=True):
        if not one.sound:
            raise Broken(f"with its steps captured as graphs it fails: {one.why}")
        change = moved(other.trace.scores, one.trace.scores)
        if change > ROUNDING or one.trace.numbers != other.trace.numbers:
            line = f" ({graphs.frozen[0]})" if graphs.frozen else ""
            raise Broken(
                f"replayed as a graph its steps move the scores by {100 * change:.2g} % of their"
                f" spread: a Python number that changes while it trains, or a tensor made anew, is"
                f" frozen there{line}; give it to the step as an input, or as one of the weights"
            )
    return f"{len(graphs.captures)} graphs emulated"


@check
def gpu(t: Trials) -> str | None:
    """It trains and scores on a GPU, where there is one."""
    import torch

    base = t.base()
    if not torch.cuda.is_available():
        raise Skipped("there is no GPU here")
    if t.device != "cpu":
        return f"checked on {t.device}"
    there = Trials(t.spec, t.values, "cuda", t.budget)
    (trial,) = there.train(base.shape, [RunSpec(0, t.config)])
    if not trial.sound:
        raise Broken(f"on the GPU it fails: {trial.why}")
    assert trial.trace.scores is not None
    if trial.trace.scores.device.type != "cuda":
        raise Broken("on the GPU its scores come back on the CPU; keep everything on run.device")
    return None


def _afresh(t: Trials) -> tuple[Fresh, int]:
    """The training in a fresh process, and its seed: one that was not the first in this process."""
    base = t.base()
    seed = 0 if t.spec.deterministic else 1
    if t.fresh is None:
        try:
            t.fresh = train_afresh(t, base.shape, seed)
        except Broken as error:
            t.fresh = error
    if isinstance(t.fresh, Broken):
        raise t.fresh
    return t.fresh, seed


@check
def survives_spawn(t: Trials) -> str | None:
    """A fresh process finds it, trains it and gets the same scores."""
    import torch

    base = t.steady()
    fresh, seed = _afresh(t)
    here = t.other(f"with seed {seed}", base.shape, seed)
    change = moved(here.trace.scores, torch.from_numpy(fresh.scores))
    if change > ROUNDING:
        if base.moved:
            raise Skipped("it draws from global random states: see no_global_random_state")
        raise Broken(
            f"in a fresh process its scores differ by {100 * change:.2g} % of their spread from"
            " those in this process; nothing may depend on what was set up or trained before"
        )
    return "to the last bit" if change == 0 else "up to rounding"


@check
def time_budget(t: Trials) -> str | None:
    """A training on a tiny task stays within the budget of time."""
    trial = blamed(t, "time_budget")
    if trial.seconds > t.budget.seconds:
        raise Broken(
            f"a training takes {trial.seconds:.2g} s, and the budget is {t.budget.seconds:g} s;"
            " declare a larger one, or give a shorter configuration"
        )
    return f"{trial.seconds:.2g} s of {t.budget.seconds:g} s"


@check
def memory_budget(t: Trials) -> str | None:
    """A training on a tiny task stays within the budget of memory."""
    with ends_in(Skipped, "it is measured in a fresh process: see survives_spawn", Broken):
        fresh, _ = _afresh(t)
    if fresh.megabytes > t.budget.megabytes:
        raise Broken(
            f"a training takes {fresh.megabytes:.0f} MB, and the budget is"
            f" {t.budget.megabytes:g} MB; declare a larger one if that is what it needs"
        )
    return f"{fresh.megabytes:.0f} MB of {t.budget.megabytes:g} MB"
