"""Which check says why a method does not get through a training; the others are skipped then."""

from __future__ import annotations

from gzsl_bench.testing.report import Broken
from gzsl_bench.testing.trials import Trial, Trials

#: By check: what was seen, and what would be right.
REMEDIES = {
    "trains": "it fails: {why}; see the traceback with gzsl-bench run --inline --debug",
    "score_shape": "its scores have the shape {seen.shape}: one row per image and one column per"
    " class is expected, in the order of the class ids",
    "score_dtype": "its scorer gives {seen.kind}; return a torch tensor of floats",
    "scores_finite": "{seen.values}; scale or clamp what is exponentiated or divided, or mask with"
    " a large negative number instead of -inf",
    "task_unchanged": "{changed}, which other runs train on; clone before changing",
    "shown_rows_unchanged": "its scorer changes the rows it is shown, which the next checkpoint is"
    " scored on; clone before changing",
    "device": "it asks for a GPU though run.device is the CPU: {why}; use run.device",
    "time_budget": "{why}, for a training on a tiny task; offer a"
    " configuration that is shorter, or declare a larger budget",
}


def blamed(t: Trials, name: str) -> Trial:
    """The base training; raises if it failed: as ``Broken`` where ``name`` is the reason."""
    first = t.first()
    if first.blame == name:
        raise Broken(
            REMEDIES[name].format(why=first.why, seen=first.seen, changed=first.task_changed)
        )
    return t.base()
