"""Which records of a source may be shown, and what is known of each.

What the repository's check said of the very same bytes counts; everything else is looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gzsl_bench.errors import RecordError
from gzsl_bench.leaderboard.sources import Source
from gzsl_bench.records import rescored
from gzsl_bench.records.merge import refuse_bombs
from gzsl_bench.records.recompute import BUILTIN, compute_again
from gzsl_bench.records.record import Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.submissions import AS_SUBMITTED, RECOMPUTED, REFUSED, Status
from gzsl_bench.records.verify import described, refuse_foreign, refuse_others
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.results.view import Results


@dataclass(frozen=True)
class Judged:
    """A record that may be shown, and what is known of it.

    Attributes:
        record: with metrics that were computed again later, where they lie beside it.
        raw: its ``record.json``.
        again: the rescoring over it, where there is one that counts.
        status: so far.
        why: a sentence on that.
        believed: metrics that nobody computed again.
        open: its numbers are still to be looked at.
    """

    record: Record
    raw: bytes
    again: bytes | None
    status: Status
    why: str = ""
    believed: frozenset[str] = frozenset()
    open: bool = False


def judge(
    source: Source, store: RecordStore, key: str, left_out: dict[str, str], apart: dict[str, int]
) -> Judged | None:
    """A record with its status; None where it is not shown, which is noted.

    Args:
        source: has it.
        store: the source's records.
        key: its cell's.
        left_out: by key, why a record is not shown; a damaged one is added.
        apart: by reason, how many records stand in no table; one that belongs in none is counted.
    """
    try:
        return _looked_at(source, store, key, apart)
    except (RecordError, OSError) as error:
        left_out[key] = str(error)
        return None


def _looked_at(
    source: Source, store: RecordStore, key: str, apart: dict[str, int]
) -> Judged | None:
    """A record and its identity, looked at as far as nobody did.

    Raises:
        RecordError: it is damaged, contradicts itself, or lacks what it is to be compared by.
    """
    place = store.layout.cell(key)
    said = source.said.get(key)
    refuse_foreign(place)
    if said is None:  # else the rest was looked at when these very bytes were checked
        refuse_bombs(place)
        described(place)
    record = store.read(key)
    if record is None:
        raise RecordError("it cannot be read")
    raw = (place / "record.json").read_bytes()
    again = rescored.counting(store.layout, record, raw)
    if not record.final:
        count(apart, "failed")
        return None
    if "sweep" in record.about:
        count(apart, "points of sweeps, of which the best would have been chosen by test results")
        return None
    _refuse_nameless(record)
    if said is not None:
        if said.status == REFUSED:
            raise RecordError(f"refused by the repository's check: {said.why or 'no reason given'}")
        return Judged(record, raw, again, said.status, said.why)
    status = AS_SUBMITTED if record.complete else RECOMPUTED
    return Judged(record, raw, again, status, open=record.complete)


def recomputed(
    results: Results, judged: Mapping[str, Judged], left_out: dict[str, str]
) -> dict[str, Judged]:
    """Those whose numbers are those of their predictions, computed again where nobody did.

    Args:
        results: of the family.
        judged: its records by key.
        left_out: by key, why a record is not shown; those with other numbers are added.
    """
    found = {}
    # Folds first: what they choose decides which predictions of the others are kept.
    for key, each in sorted(judged.items(), key=lambda item: not item[1].record.cell.fold):
        if each.open:
            try:
                # Read once, for the rows of the table, too.
                arrays = results.arrays(each.record)
                refuse_others(each.record, arrays)
                believed = frozenset(compute_again(each.record, BUILTIN, arrays))
            except RecordError as error:
                left_out[key] = str(error)
                continue
            status = AS_SUBMITTED if {*HEADINGS} & believed else RECOMPUTED
            each = replace(each, status=status, believed=believed)
        found[key] = each
    return found


def _refuse_nameless(record: Record) -> None:
    """Nothing is shown whose identity is not recorded."""
    data, method = record.identity["dataset"], record.identity["method"]
    known = {
        "the data's content": data["fingerprint"],
        "the features": data["features"],
        "the class embedding": data["attributes"],
        "the setting": record.identity["setting"],
        "the method": method["name"],
        "the method's version": method["version"],
    }
    lacking = [what for what, value in known.items() if not value.strip()]
    if lacking:
        raise RecordError(f"its identity does not name {' nor '.join(lacking)}")


def count(apart: dict[str, int], why: str) -> None:
    """One more record that stands in no table, for a reason."""
    apart[why] = apart.get(why, 0) + 1
