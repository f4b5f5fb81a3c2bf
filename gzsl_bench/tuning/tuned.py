"""The suite that a tuning writes: the chosen values, and in comments where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from gzsl_bench import atomic
from gzsl_bench.errors import SuiteError
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import Last, Val
from gzsl_bench.scoring.summary import summarize
from gzsl_bench.tuning.table import plain, shown
from gzsl_bench.tuning.trials import Score, Search, Tuning, score
from gzsl_bench.version import __version__
from gzsl_bench.wording import counted, plural

#: Begins every written suite: a file that does not begin so is somebody's own.
MARK = "# Written by `gzsl-bench tune`"
_LONGEST_NAME = 80
_H = "harmonic_mean"
#: Trials that a sentence names.
_NAMED = 10
_SEARCH_KEYS = ("tune", "search", "trials")


class _Plain(yaml.SafeDumper):
    """YAML without anchors: what is shared in the original stands twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def check_writable(path: Path, suite: Path) -> None:
    """Refuse to replace a file that no tuning wrote, before anything is trained.

    Args:
        path: where the suite shall be written.
        suite: the suite that is tuned.

    Raises:
        SuiteError: the file is somebody's own, or the place is none for a file.
    """
    if path.is_dir():
        raise SuiteError(f"--write {path} is a folder where a suite file is expected")
    if not path.exists():
        return
    if path.samefile(suite):
        raise SuiteError(f"--write {path} is the suite that is tuned; name another file")
    try:
        begins = path.read_text(encoding="utf-8", errors="replace").startswith(MARK)
    except OSError as error:
        raise SuiteError(f"--write {path} cannot be replaced: {error}") from None
    if not begins:
        raise SuiteError(
            f"--write {path} is there and was not written by tune; remove it, or name another file"
        )


def chosen(tuning: Tuning, results: Results) -> list[tuple[Search, list[Score]]] | None:
    """Every search with its scores, the chosen one first; None while one has no number."""
    found = [(search, score(search, results)) for search in tuning.searches]
    if not found or any(scores[0].checkpoint is None for _, scores in found):
        return None
    return found


def edges(found: Sequence[tuple[Search, list[Score]]]) -> list[str]:
    """Sentences about chosen numbers at an end of their list, beyond which better ones may lie."""
    lines = []
    for search, scores in found:
        for name, value in scores[0].trial.values.items():
            tried = {trial.values[name] for trial in search.trials if _number(trial.values[name])}
            if not _number(value) or len(tried) < 3 or not isinstance(_listed(search, name), list):
                continue
            for end, word in ((min(tried), "smallest"), (max(tried), "largest")):
                if value == end:
                    lines.append(
                        f"{search.title}: {name} {plain(value)} is the {word} value of its list;"
                        " better ones may lie beyond"
                    )
    return lines


def ties(found: Sequence[tuple[Search, list[Score]]]) -> list[str]:
    """Sentences about chosen trials that others equal, and how it was decided between them."""
    told = ((search, _tie(scores)) for search, scores in found)
    return [f"{search.title}: {words}" for search, words in told if words]


def _tie(scores: Sequence[Score]) -> str:
    best = scores[0]
    equal = [s.trial.number for s in scores[1:] if s.mean.get(_H) == best.mean[_H]]
    if not equal:
        return ""
    more = f" and {len(equal) - _NAMED} more" if len(equal) > _NAMED else ""
    others = f"{plural(len(equal), 'trial')} {', '.join(map(str, equal[:_NAMED]))}{more}"
    return (
        f"trial {best.trial.number} ties exactly with {others}, which the folds do not tell from"
        " it; it is chosen because it was listed or drawn first"
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(search: Search, name: str) -> Any:
    return (search.entry.tune or {})[name]


def tuned_suite(
    tuning: Tuning, found: Sequence[tuple[Search, list[Score]]], results: Results
) -> str:
    """The text of a suite with the chosen values: one entry per tuned method and data set.

    Comments above it say where they come from.  Everything else stands as in the original; ``val``
    joins the rules, since the folds are trained, unless another method's scaler sees test rows and
    forbids it.
    """
    suite, written, only = tuning.loaded.suite, tuning.loaded.file.content, tuning.only
    content = {key: value for key, value in written.items() if key not in _SEARCH_KEYS}
    content["name"] = f"{content['name'][: _LONGEST_NAME - len('-tuned')]}-tuned"
    kept = {
        entry.name: raw
        for entry, raw in zip(suite.datasets, written["datasets"], strict=True)
        if not only.datasets or entry.name in only.datasets
    }
    content["datasets"] = list(kept.values())
    content["methods"] = _methods(tuning, found, set(kept))
    rules = content.get("selection", [Last.name])
    if tuning.val_fits and Val.name not in rules:
        content["selection"] = [*rules, Val.name]
    if tuning.loaded.plugins:
        # The new file may lie elsewhere, so the places are absolute.
        content["plugins"] = [str(place) for place in tuning.loaded.plugins]
    comments = [
        f"{MARK} (gzsl-bench {__version__}) from {_line(tuning.loaded.file.path.name)}:",
        "# values with the best mean H over validation folds, made of training rows alone.",
    ]
    for search, scores in found:
        comments += _provenance(tuning, search, scores, results)
    text: str = yaml.dump(
        content,
        Dumper=_Plain,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
    return "\n".join([*comments, text])


def write_suite(path: Path, text: str) -> None:
    """Put the text in its place by one rename.

    Raises:
        SuiteError: the file cannot be written.
    """
    try:
        atomic.write_text(path, text)
    except OSError as error:
        raise SuiteError(f"the tuned suite {path} cannot be written: {error}") from None


def _methods(
    tuning: Tuning, found: Sequence[tuple[Search, list[Score]]], datasets: set[str]
) -> list[Any]:
    """The entries of the methods, tuned ones with their chosen values."""
    entries: list[Any] = []
    suite, only = tuning.loaded.suite, tuning.only
    for entry, raw in zip(suite.methods, tuning.loaded.file.content["methods"], strict=True):
        if only.methods and entry.name not in only.methods:
            continue
        if entry.tune is not None:
            own = {k: value for k, value in raw.items() if k not in (*_SEARCH_KEYS, "config")}
            for search, (best, *_) in found:
                if search.entry is entry:
                    config = {**entry.config, **best.trial.values}
                    entries.append({**own, "datasets": [search.dataset], "config": config})
        elif entry.datasets is None:
            entries.append(raw)
        elif rest := [name for name in entry.datasets if name in datasets]:
            entries.append({**raw, "datasets": rest})
    return entries


def _provenance(
    tuning: Tuning, search: Search, scores: Sequence[Score], results: Results
) -> list[str]:
    """Comments: what was chosen of what, on which folds of which data, when."""
    best = scores[0]
    h = summarize([metrics[_H] for metrics in best.folds])
    spread = "" if h.sd is None else f" ± {h.sd:.2f}"
    cells = best.trial.cells
    tried = sum(s.checkpoint is not None for s in scores)
    notes = [f"{len(scores) - tried} without a number"] if tried < len(scores) else []
    notes += [f"{counted(search.refused, 'combination')} refused"] if search.refused else []
    of = f"{len(scores)} ({', '.join([search.kind, *notes])})"
    data = cells[0].identity["dataset"]
    seeds = sorted({cell.seed for cell in cells})
    described = next(d for d in tuning.suite.datasets if d["label"] == search.dataset)
    folds = ", ".join(f"{f['fold']} {f['source']} {f['content']}" for f in described["folds"])
    method = cells[0].identity["method"]
    lines = [
        f"{search.dataset}: {shown(best.trial.values)}",
        f"  trial {best.trial.number} of {of}, decided {_decided(search, results)}",
        f"  validation H {h.mean:.2f}{spread} at checkpoint {best.checkpoint}"
        f" over {counted(len({c.fold for c in cells}), 'fold')},"
        f" {plural(len(seeds), 'seed')} {', '.join(map(str, seeds))}",
        *([f"  {tie}"] if (tie := _tie(scores)) else []),
        f"  data {data['fingerprint']}, features {data['features']},"
        f" class embedding {data['attributes']}",
        f"  folds {folds}",
        f"  {method['name']} {method['version']}, keys {' '.join(c.key for c in cells)}",
    ]
    return [f"# {_line(line)}" for line in lines]


def _decided(search: Search, results: Results) -> str:
    """The day the last trial ended: writing the suite again changes nothing."""
    ends = []
    for record in (results.record(cell.key) for trial in search.trials for cell in trial.cells):
        if record is not None and record.complete:
            about = record.provenance
            ends.append(about.started.timestamp() + about.seconds)
    return datetime.fromtimestamp(max(ends), UTC).strftime("%Y-%m-%d")


def _line(text: str) -> str:
    """Text that stays within its comment."""
    return text[: len(text) - len(text.lstrip())] + " ".join(text.split())
