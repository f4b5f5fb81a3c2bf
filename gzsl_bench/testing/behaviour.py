"""What a method does when it trains and scores; most checks look at the same few trainings."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np

from gzsl_bench.engine.audit import judge as audit
from gzsl_bench.errors import NotApplicable, PluginError
from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.scoring.axes import axes_of, fault
from gzsl_bench.testing import tasks
from gzsl_bench.testing.blame import blamed
from gzsl_bench.testing.order import class_order_matters, moved
from gzsl_bench.testing.report import Broken, Checks, Skipped
from gzsl_bench.testing.trials import Trial, Trials

check: Checks[Trials] = Checks()

#: How much of their spread scores may move where rounding alone is expected to move them.
ROUNDING = 1e-3
#: The same for rows in another order, which is all that differs where a seed plays no part.
SAME = 1e-5
#: A method must find this many times what guessing finds.
BETTER = 2.0
#: Iterations that take longer than this many seconds want a progress bar.
SILENT = 2.0


# Training ----------------------------------------------------------------------------------------


@check
def trains(t: Trials) -> str | None:
    """It trains on at least one of the generated tasks and offers a scorer."""
    try:
        first = blamed(t, "trains")
    except NotApplicable as error:
        raise Broken(f"it applies to none of the generated tasks: {error}") from error
    if first.shape != tasks.EASY:
        return f"not on the easy task: {t.on(tasks.EASY).not_applicable}; looked at {first.shape}"
    return None


def _got_through(name: str, about: str) -> None:
    """A check of what :func:`blamed` finds in the base training."""

    def look(t: Trials) -> str | None:
        blamed(t, name)
        return None

    check.add(name, about, look)


for _name, _about in (
    ("score_shape", "Scores are [N, C]: one row per image, one column per class."),
    ("score_dtype", "Scores are a torch tensor of floating-point numbers."),
    ("scores_finite", "No score is NaN or infinite."),
):
    _got_through(_name, _about)


def _awkward(shape: str) -> None:
    about = tasks.SHAPES[shape].about

    def look(t: Trials) -> str | None:
        t.base()
        trial = t.on(shape)
        if trial.not_applicable:
            raise NotApplicable(trial.not_applicable)
        if not trial.sound:
            raise Broken(
                f"with {about} it fails: {trial.why}; handle it, or raise NotApplicable with the"
                " reason"
            )
        return None

    check.add(shape, f"It trains and scores with {about}, or says why it does not apply.", look)


for _shape in tasks.AWKWARD:
    _awkward(_shape)


# Learning ----------------------------------------------------------------------------------------


def _better(t: Trials, part: str) -> str:
    if t.base().shape != tasks.EASY:
        raise NotApplicable(f"not on the easy task: {t.on(tasks.EASY).not_applicable}")
    data = tasks.make(tasks.EASY)
    among: np.ndarray = getattr(data, part)
    labels = data.labels[np.concatenate([data.test_seen, data.test_unseen])]
    seeds = (0,) if t.spec.deterministic else (0, 1)
    found = []
    for seed in seeds:
        trial = t.other(f"with seed {seed}", tasks.EASY, seed)
        found.append(trial.accuracy(labels, among))
    chance, mean = 1 / among.size, float(np.mean(found))
    text = (
        f"{100 * mean:.1f} % of the {part} test rows are told apart among the {among.size} {part}"
        f" classes, where guessing gives {100 * chance:.1f} %"
    )
    if mean < BETTER * chance:
        raise Broken(
            f"{text} and {100 * BETTER * chance:.1f} % are expected on an easy task; look for"
            " class ids that are mixed up, or give a configuration that trains long enough"
        )
    return text


for _part in ("seen", "unseen"):
    check.add(
        f"better_than_chance_on_{_part}",
        f"On an easy task it tells {_part} classes apart at least twice as well as guessing.",
        functools.partial(_better, part=_part),
    )


@check
def class_order(t: Trials) -> str | None:
    """Giving the classes other ids permutes the scores and changes nothing else."""
    return class_order_matters(t, ROUNDING)


# Randomness and state ----------------------------------------------------------------------------


@check
def same_seed_same_result(t: Trials) -> str | None:
    """Two trainings with the same seed give the same numbers, bit for bit."""
    base, again = t.base(), t.repeated()
    if base.trace.equals(again.trace, t.restless()):
        names = sorted(t.restless())
        return f"but for the logged values of {', '.join(names)}" if names else None
    if t.variables:
        raise Skipped("equal trainings differ: see no_state_between_runs")
    raise Broken(
        "two trainings with seed 0 give other numbers, from the same global random states, too;"
        " draw from run.generator(...), and avoid arithmetic that is not deterministic"
    )


@check
def seeds_as_declared(t: Trials) -> str | None:
    """Another seed gives other scores, unless the method is declared deterministic."""
    base = t.steady()
    if base.moved:
        raise Skipped("it draws from global random states: see no_global_random_state")
    other = t.other("with seed 1", base.shape, 1)
    differ = moved(base.trace.scores, other.trace.scores) > SAME
    if t.spec.deterministic and differ:
        if any(finding.name == audit.PEEKS for finding in t.audited().findings):
            raise Skipped("with the seed the order of the rows changes: see rows_scored_alone")
        raise Broken(
            "it is declared deterministic, but seed 1 gives other scores than seed 0; declare"
            " deterministic=False, so that several seeds are trained"
        )
    if not t.spec.deterministic and not differ:
        raise Broken(
            "seed 1 gives the scores of seed 0; draw from run.generator(...), or"
            " declare deterministic=True in the MethodSpec"
        )
    return None


@check
def no_global_random_state(t: Trials) -> str | None:
    """It draws from run.generator(...) and leaves Python's, numpy's and torch's states alone."""
    base = t.base()
    if base.moved:
        layers = (
            "; torch's layers and dropout draw from it: let them, within"
            " `with torch.random.fork_rng():`, begun by"
            " torch.manual_seed(run.generator('layers').initial_seed())"
        )
        raise Broken(
            f"it moves the global random state of {' and '.join(base.moved)}, which belongs to"
            f" everybody; draw from run.generator(...){layers if 'torch' in base.moved else ''}"
        )
    return None


@check
def no_state_between_runs(t: Trials) -> str | None:
    """What was trained before in the same process plays no part."""
    base, again = t.base(), t.repeated()
    named = f" ({', '.join(t.variables[:3])})" if t.variables else ""
    remedy = "keep everything on the method's instance, which serves one unit of work"
    ignore = t.restless()
    if not base.trace.equals(again.trace, ignore):
        if t.variables:
            raise Broken(
                f"a second identical training gives other numbers, and variables of its modules"
                f" change while it trains{named}; {remedy}"
            )
        raise Skipped("equal trainings differ: see same_seed_same_result")
    other = t.relabelled()
    if not other.sound:
        raise Broken(f"with other training labels it fails: {other.why}")
    if t.variables and other.trace.scores_digest == base.trace.scores_digest:
        raise Broken(
            "trained on other labels it gives the scores of the training before, bit for bit, and"
            f" variables of its modules change while it trains{named}; {remedy}"
        )
    if again is base:  # and was trained after that one
        return None
    t.relabelled(again="once more")
    later = t.on(base.shape, again="after another task")
    if not base.trace.equals(later.trace, ignore):
        raise Broken(
            f"after a training on another task it gives other numbers than before{named}; {remedy}"
        )
    return None


for _name, _about in (
    ("task_unchanged", "It leaves the task's tensors, and what task.shared gives, as they are."),
    ("shown_rows_unchanged", "Its scorers leave the rows they are shown as they are."),
):
    _got_through(_name, _about)


# What scorers are shown --------------------------------------------------------------------------


@check
def rows_scored_alone(t: Trials) -> str | None:
    """The scores of a row do not depend on the other rows of a call, unless it is transductive."""
    for finding in t.audited().findings:
        if finding.name == audit.PEEKS:
            raise Broken(
                f"{finding.text}; put batch normalisation into eval mode and take statistics from"
                " training rows, or declare setting='transductive'"
            )
    if t.spec.setting == "transductive":
        return "it is declared transductive and may look at other rows"
    return None


@check
def blind_twin(t: Trials) -> str | None:
    """Nothing it reports depends on the rows its scorers were shown before (docs/audit.md)."""
    elsewhere = {
        audit.RANDOM: "no_global_random_state",
        audit.STATE: "no_state_between_runs",
        audit.CHANCE: "same_seed_same_result",
    }
    report = t.audited()
    for finding in report.findings:
        if finding.name in (audit.LEARNS, audit.STALE):
            raise Broken(f"{finding.text}; a scorer must only score")
        if finding.name in elsewhere:
            raise Skipped(f"two identical trainings differ: see {elsewhere[finding.name]}")
    if report.not_audited is not None:
        raise Broken(report.not_audited)
    return None


# In company --------------------------------------------------------------------------------------


@check
def stacked_equals_alone(t: Trials) -> str | None:
    """A batched method gives a run the same numbers beside another run as alone."""
    if not issubclass(t.spec.factory, BatchedMethod):
        raise NotApplicable("it trains one run at a time")
    base = t.steady()
    # The toolkit trains the runs of a stack one after the other on a CPU: only as a GPU would, with
    # both in one product, can they meet.
    together = t.as_on_a_gpu(0, 1)
    remedy = (
        "draw each run's numbers from that run's generator, and let no sum, mean or norm run over"
        " the axis of the runs"
    )
    for beside in together:
        if not beside.sound:
            raise Broken(f"trained with another run it fails: {beside.why}")

    def worst(alone: Sequence[Trial]) -> float:
        for seed, (one, beside) in enumerate(zip(alone, together, strict=True)):
            if one.trace.numbers != beside.trace.numbers:
                raise Broken(f"seed {seed} offers other checkpoints beside another run; {remedy}")
        return max(
            moved(one.trace.scores, beside.trace.scores)
            for one, beside in zip(alone, together, strict=True)
        )

    found = worst([base, t.other("with seed 1", base.shape, 1)])
    if found > ROUNDING and t.device == "cpu":
        # Products of one run round otherwise than those of several, and a training may make much
        # of that: the runs alone, as a GPU would train them, can tell.
        found = worst([*t.as_on_a_gpu(0), *t.as_on_a_gpu(1)])
    if found > ROUNDING:
        raise Broken(
            f"beside another run its scores move by {100 * found:.2g} % of their spread; {remedy}"
        )
    return "to the last bit" if found == 0 else "up to rounding"


@check
def checkpoint_numbers(t: Trials) -> str | None:
    """Checkpoint numbers follow from the configuration, not from the number of training rows."""
    base = t.steady()
    try:
        why = fault(axes_of(t.spec.factory.axes(t.config)), base.trace.numbers)
    except PluginError as error:
        why = str(error)
    if why:
        raise Broken(f"{why}; what `axes` says has to hold for every checkpoint's number")
    fewer = t.other("with half of the training rows", f"{base.shape}/fewer rows")
    if fewer.trace.numbers != base.trace.numbers:
        raise Broken(
            f"with half of the training rows it offers the checkpoints {_few(fewer.trace.numbers)}"
            f" instead of {_few(base.trace.numbers)}; count epochs rather than steps, since val"
            " carries the number over from validation folds, which are smaller"
        )
    return None


def _few(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:3]))
    return f"{shown}, ..., {numbers[-1]}" if len(numbers) > 4 else ", ".join(map(str, numbers))


@check
def reports_progress(t: Trials) -> str | None:
    """A method that iterates calls run.progress(done, total) up to the end."""
    trial = t.base()
    reports = trial.seen.progress
    if not reports:
        iterates = len(trial.trace.numbers) > 1 or trial.seen.logs > 1
        # The faster of two: the first one may have waited for a library to load.
        slow = trial.seconds > SILENT and t.on(trial.shape, again="timed").seconds > SILENT
        if iterates or slow:
            raise Broken(
                "it iterates and never calls run.progress(done, total); call it after every epoch,"
                " so that the user sees how far it is and Ctrl-C is heard"
            )
        raise NotApplicable("it is done at once")
    for (before, _), (after, _) in itertools.pairwise(reports):
        if after < before:
            raise Broken(f"its progress goes back from {before} to {after}")
    done, total = reports[-1]
    if done != total:
        raise Broken(f"its progress ends at {done} of {total}; report the last step as well")
    return None


@check
def opens_no_files(t: Trials) -> str | None:
    """While it trains it opens no file outside its own package."""
    opened = t.base().opened
    if opened:
        more = f" and {len(opened) - 1} more" if len(opened) > 1 else ""
        raise Broken(
            f"while it trains it opens {opened[0]}{more}; all it may know is in the task, and"
            " constants belong into its package"
        )
    return None
