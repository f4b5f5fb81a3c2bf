"""Does the printed order of methods hold here?  Ranks of a printed table beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import yaml

from gzsl_bench import markdown
from gzsl_bench.data.yamlfile import yaml_value
from gzsl_bench.errors import GzslBenchError, SuiteError
from gzsl_bench.published.audit import status
from gzsl_bench.published.beside import parts, published_names
from gzsl_bench.published.entries import Entry, entries
from gzsl_bench.report.compare import table_of
from gzsl_bench.report.pairs import ahead
from gzsl_bench.results.comparable import taint
from gzsl_bench.results.rows import NO_RULE, Row
from gzsl_bench.results.view import Results

#: Fewer methods than these have no order worth a correlation.
FEWEST = 4


@dataclass(frozen=True)
class Standing:
    """One method in both orders.

    Attributes:
        label: how the suite calls it.
        published: how the table calls it.
        ours: our H in percent.
        theirs: the printed one.
        our_rank: 1 is the best; ties share the mean of their ranks.
        their_rank: in the printed order.
        status: what the audit says of the printed row; ``ok`` where nothing.
        settings: options that the suite gives the method, beside those the row is called by;
            empty where it has its own.
    """

    label: str
    published: str
    ours: float
    theirs: float
    our_rank: float
    their_rank: float
    status: str
    settings: str = ""

    @property
    def remarks(self) -> str:
        """Why the two may be unlike: from the audit, and from how ours was trained."""
        said = [] if self.status == "ok" else [self.status.partition(":")[0]]
        return "; ".join([*said, "own settings"] if self.settings else said)


@dataclass(frozen=True)
class Pair:
    """Two methods, the first one ahead in print.

    Attributes:
        ahead: the one with the larger printed H.
        behind: the other one.
        printed: the printed difference.
        difference: ours.
        low: lower end of its 95 % interval; None where it was not tested.
        high: upper end.
        why: it was not tested; empty where it was.
    """

    ahead: str
    behind: str
    printed: float
    difference: float
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def verdict(self) -> str:
        """``holds``, ``contradicted``, ``not told apart`` or ``not tested``."""
        if self.low is None or self.high is None:
            return "not tested"
        return "holds" if self.low > 0 else "contradicted" if self.high < 0 else "not told apart"


@dataclass(frozen=True)
class Order:
    """One printed table beside one data set of ours.

    Attributes:
        dataset: our data set's label.
        features: our feature set.
        table: the printed table.
        printed_features: of the printed numbers, as far as is known.
        rule: whose H of ours counts.
        standings: the methods of both, the printed best first.
        spearman: correlation of the two orders, and the p of one as large in either direction by
            chance; None where all have the same H.
        sound: the same without rows against which the audit has something and methods that the
            suite gives other settings; None, too, where fewer than four are left.
        pairs: every two of them that differ in print.
    """

    dataset: str
    features: str
    table: str
    printed_features: tuple[str, ...]
    rule: str
    standings: tuple[Standing, ...]
    spearman: tuple[float, float] | None
    sound: tuple[float, float] | None
    pairs: tuple[Pair, ...]

    def count(self, verdict: str) -> int:
        """How many pairs have it."""
        return sum(pair.verdict == verdict for pair in self.pairs)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        pairs = [asdict(pair) | {"verdict": pair.verdict} for pair in self.pairs]
        return asdict(self) | {"pairs": pairs}


def orders(results: Results, rule: str) -> list[Order]:
    """Every printed table that has four methods or more of a data set of the suite.

    Points of sweeps, tainted rows and rows without numbers stand for no printed row; a method with
    settings of the suite's does, and it is said.  A table may hold a method twice: the row printed
    first counts.

    Args:
        results: of the suite.
        rule: whose H of ours counts.

    Raises:
        SuiteError: the suite does not select by this rule.
        RecordError: predictions are missing or damaged.
    """
    printed: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries():
        if entry.setting == "gzsl" and entry.value("H") is not None and entry.split == "PS":
            printed.setdefault((entry.table, entry.dataset), {}).setdefault(entry.method, entry)
    ours: dict[str, list[Row]] = {}
    for row in table_of(results, rule):
        if row.selection != NO_RULE and row.sweep is None and not (row.unavailable or taint(row)):
            ours.setdefault(row.dataset, []).append(row)
    found = []
    for label, rows in ours.items():
        use = results.cells[rows[0].keys[0]][0].request["use"]
        for (table, dataset), known in printed.items():
            if dataset == use and (matched := _matched(rows, known, results)):
                found.append(_order(label, table, rule, matched, results))
    return found


def as_text(order: Order, width: int | None = None) -> str:
    """An order as a Markdown table with its sentences.

    Args:
        order: printed table and ours.
        width: of a terminal; for a file nothing is broken.
    """
    body = markdown.fitted(
        ["Method", "H printed", "Rank", "H here", "Rank", "Remark"],
        [
            [s.label, f"{s.theirs:.1f}", f"{s.their_rank:g}", f"{s.ours:.1f}", f"{s.our_rank:g}",
             s.remarks]
            for s in order.standings
        ],
        width,
    )  # fmt: skip
    sound = sum(not s.remarks for s in order.standings)
    rest = (
        f"without those that have a remark {_words(order.sound)} over {sound}."
        if sound >= FEWEST
        else "fewer than four rows are left without those that have a remark."
    )
    said = [
        f"{order.dataset} ({order.features}) by {order.rule} beside {order.table}"
        f" ({', '.join(order.printed_features) or 'features unknown'}): Spearman's correlation"
        f" {_words(order.spearman)} over {len(order.standings)} methods; {rest}",
        f"Of {len(order.pairs)} pairs that differ in print {order.count('holds')} hold,"
        f" {order.count('contradicted')} are contradicted, {order.count('not told apart')} are not"
        f" told apart, {order.count('not tested')} were not tested.",
    ]
    own = [f"{s.label} ({s.settings})" for s in order.standings if s.settings]
    said += [f"Own settings: {', '.join(own)}."] if own else []
    for verdict in ("holds", "contradicted"):
        pairs = [f"{p.ahead} > {p.behind}" for p in order.pairs if p.verdict == verdict]
        said += [f"{verdict.capitalize()}: {', '.join(pairs)}."] if pairs else []
    if width is not None:
        said = [part for line in said for part in markdown.wrapped(line, width)]
    return "\n".join([body, "", *said])


def _matched(
    rows: Sequence[Row], known: Mapping[str, Entry], results: Results
) -> list[tuple[Row, Entry]]:
    """Rows of ours with their printed ones, the printed best first; empty where they are few."""
    pairs: dict[str, tuple[Row, Entry]] = {}
    for row in rows:
        for name in published_names(results.cells[row.keys[0]][0]):
            if name in known:
                pairs.setdefault(name, (row, known[name]))
    if len(pairs) < FEWEST:
        return []
    return sorted(pairs.values(), key=lambda pair: -_h(pair[1]))


def _order(
    label: str, table: str, rule: str, matched: Sequence[tuple[Row, Entry]], results: Results
) -> Order:
    from scipy.stats import rankdata

    ours = [row.summary().mean for row, _ in matched]
    theirs = [_h(entry) for _, entry in matched]
    given = _settings(results)
    standings = tuple(
        Standing(
            row.label, entry.method, mine, other, float(one), float(two), status(entry),
            ", ".join(
                f"{name} {value}" for name, value in given.get(row.label, {}).items()
                if name not in parts(entry.method)
            ),
        )
        for (row, entry), mine, other, one, two in zip(
            matched, ours, theirs, rankdata([-h for h in ours]), rankdata([-h for h in theirs]),
            strict=True,
        )
    )  # fmt: skip
    return Order(
        dataset=label,
        features=matched[0][0].features,
        table=table,
        printed_features=tuple(sorted({str(e.features) for _, e in matched if e.features})),
        rule=rule,
        standings=standings,
        spearman=_correlation(standings),
        sound=_correlation([s for s in standings if not s.remarks]),
        pairs=tuple(_pairs(matched, results)),
    )


def _settings(results: Results) -> Mapping[str, Mapping[str, Any]]:
    """Options that the suite's file gives its methods, by label."""
    try:
        methods = yaml_value(results.suite.text)["methods"]
    except (GzslBenchError, yaml.YAMLError, TypeError, KeyError):
        return {}  # a suite of -d and -m, or none that a file was kept of
    return {
        str(method.get("label", method.get("use"))): method["config"]
        for method in methods
        if isinstance(method, dict) and isinstance(method.get("config"), dict)
    }


def _words(found: tuple[float, float] | None) -> str:
    return "cannot be given" if found is None else f"{found[0]:+.2f} (p {found[1]:.2g})"


def _correlation(standings: Sequence[Standing]) -> tuple[float, float] | None:
    """Spearman's, with its p; None where there are too few or one side is constant."""
    from scipy.stats import spearmanr

    ours, theirs = [s.ours for s in standings], [s.theirs for s in standings]
    if len(standings) < FEWEST or len(set(ours)) < 2 or len(set(theirs)) < 2:
        return None
    found = spearmanr(ours, theirs)
    return float(found.statistic), float(found.pvalue)


def _pairs(matched: Sequence[tuple[Row, Entry]], results: Results) -> Iterator[Pair]:
    for (one, first), (two, second) in combinations(matched, 2):
        printed = _h(first) - _h(second)
        if printed == 0:
            continue
        names = (one.label, two.label, printed)
        try:
            yield Pair(*names, *ahead(one, two, results))
        except SuiteError as error:
            lead = one.summary().mean - two.summary().mean
            yield Pair(*names, lead, why=str(error))


def _h(entry: Entry) -> float:
    value = entry.value("H")
    assert value is not None  # entries without H were left out
    return value
