"""What a visitor sees first: the verdict as the experiment's description, and the report.

The verdict stands above the runs table; the report is an artifact of the suite's own run, which
MLflow shows on its page.  Both follow from the records alone.  They take seconds to make, so they
are made after the results are printed, outside the store's lock, and only where something changed.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gzsl_bench.masking import masked
from gzsl_bench.report.verdicts import READING, Verdict
from gzsl_bench.results.digest import digest
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import GAMMA, rule_of
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.tracking.client import connect, explain, writing
from gzsl_bench.tracking.describe import MIRROR_VERSION, PREFIX
from gzsl_bench.tracking.experiment import Experiment, open_experiment
from gzsl_bench.tracking.names import NOTE_LENGTH, plain_markdown
from gzsl_bench.version import __version__

#: A run makes the front page itself if its cells trained for so many seconds: then making it takes
#: a few percent of what the results took.  For smaller suites ``sync`` and ``ui`` do.
WORTHWHILE = 60.0

_REPORT = f"{PREFIX}report"
_NOTE = f"{PREFIX}note"
_DESCRIPTION = "mlflow.note.content"


def worthwhile(results: Results) -> bool:
    """Whether the suite's cells trained for long enough to wait for a report."""
    found = (results.record(key) for key in results.cells)
    seconds = sum(r.seconds_each for r in found if r is not None)
    return seconds >= WORTHWHILE


def refresh(uri: str, results: Results) -> str | None:
    """Bring description and report up to date, if the suite's own run is there.

    Args:
        uri: the MLflow store, checked.
        results: of the suite as the results folder remembers it.

    Returns:
        Why they are behind, in a few words; None where they are as they should be.  Whatever goes
        wrong, results and the runs of cells are not touched.
    """
    suite, layout = results.suite, results.store.layout
    try:
        wanted = _digest(results)
        with writing(uri, layout):
            experiment = open_experiment(connect(uri, layout), suite, layout)
            parents, _ = experiment.runs()
            if not parents or parents[0].data.tags.get(_REPORT) == wanted:
                return None
        with tempfile.TemporaryDirectory(prefix="gzsl-bench-report-") as folder:
            report, note = _make(results, Path(folder))
            with writing(uri, layout):
                _publish(experiment, parents[0].info.run_id, report, note, wanted)
    except Exception as error:
        return f"{explain(error, uri)} ({masked(uri)})"
    return None


def _digest(results: Results) -> str:
    """Hash of all that the page is made of."""
    return _hash(json.dumps([MIRROR_VERSION, __version__, digest(results)]))


def _make(results: Results, folder: Path) -> tuple[Path, str]:
    """The report's file, and the description."""
    # matplotlib takes a second to come: only where there is something to draw.
    from gzsl_bench.report.html.page import build

    report = build(results, folder)
    return report.path, description(results.suite, report.verdicts)


def _publish(experiment: Experiment, run_id: str, report: Path, note: str, mark: str) -> None:
    client = experiment.store.client
    client.log_artifact(run_id, str(report))
    found = client.get_experiment(experiment.id).tags
    there = found.get(_DESCRIPTION, "")
    # Words that somebody else wrote there since stay.
    if there == plain_markdown(experiment.suite.description) or _hash(there) == found.get(_NOTE):
        client.set_experiment_tag(experiment.id, _DESCRIPTION, note)
        client.set_experiment_tag(experiment.id, _NOTE, _hash(note))
    # Last: what is marked is whole.
    client.set_tag(run_id, _REPORT, mark)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def description(suite: ResolvedSuite, cards: Sequence[Verdict]) -> str:
    """The experiment's description: who is best where, how sure that is, by which protocol.

    MLflow shows the first line until a reader unfolds the rest.
    """
    best = "; ".join(_short(card) for card in cards)
    lines = [f"Best H by {suite.lead} [95 % CI]{_leads(cards)}: {best}"]
    if not cards:
        lines = ["No results yet."]
    if others := [f"{card.other} on {card.title}" for card in cards if card.other]:
        calibrated = plain_markdown(", ".join(others))
        lines += ["", f"With calibrated scores ({suite.lead}{GAMMA}) others lead: {calibrated}."]
    if suite.description:
        lines += ["", plain_markdown(suite.description)]
    lines += [line for card in cards for line in ("", _item(card))]
    lines += [
        "",
        f"U, S and H (the metrics of that name, all by {suite.lead}: {rule_of(suite.lead).words})"
        " are per-class accuracies in percent: unseen classes, seen classes, their harmonic mean;"
        f" mean {READING}. Metrics of other rules begin with the rule's name.",
        "",
        "Where MLflow shows traces, Model training (top left) leads to the runs. Views, above them"
        " on the right, has a table for every data set. The run suite"
        f" {plain_markdown(suite.name)} has the whole report under Artifacts.",
    ]
    text = "\n".join(lines)
    if len(text) <= NOTE_LENGTH:
        return text
    return text[: NOTE_LENGTH - 60].rsplit("\n", 1)[0] + "\n\n(more in the report)"


def _leads(cards: Sequence[Verdict]) -> str:
    """Where the lead over the next method is established."""
    rivalled = [card for card in cards if card.best and card.against]
    sure = [card.title for card in rivalled if card.clear]
    if not rivalled:
        return ""
    if len(cards) == 1:
        return f", {rivalled[0].lead}"
    if len(sure) == len(cards):
        return ", all leads established"
    where = f"lead established on {plain_markdown(', '.join(sure))}"
    return f", {where if sure else 'no lead established'}"


def _short(card: Verdict) -> str:
    """Method, H and interval: three of them fit the line that MLflow shows."""
    if card.best is None:
        return plain_markdown(f"{card.title} no result yet")
    h = card.best.summary()
    between = "" if h.low is None else f" [{h.low:.0f}, {h.high:.0f}]"
    return plain_markdown(f"{card.title} {card.name} {h.mean:.1f}{between}")


def _item(card: Verdict) -> str:
    """All that is known of one data set, in a paragraph: no mark-up, for lists show it as it is."""
    more = "" if card.best is None else f" {card.parts}; {card.spread}."
    about = f"{card.sentence}{more} Protocol: {card.protocol}."
    return plain_markdown(about).replace("\n", " ")
