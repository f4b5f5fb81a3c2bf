"""``gzsl-bench run --audit``: what is shown while methods are audited, and the table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gzsl_bench import markdown
from gzsl_bench.engine.audit.plan import Verdict, plan_audits, verdicts
from gzsl_bench.engine.audit.unit import AuditUnit
from gzsl_bench.engine.events import AuditEnded, CellElsewhere, Event, UnitStarted, Waiting
from gzsl_bench.executors.run import run_audits
from gzsl_bench.records.audits import FAILED, OK, AuditStore
from gzsl_bench.records.leases import AUDIT
from gzsl_bench.terminal.streams import say

if TYPE_CHECKING:
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.executors.dispatcher import Executor
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.suite.cells import Cell


def audit_cells(
    store: RecordStore, cells: Sequence[Cell], executor: Executor, settings: WorkerSettings
) -> bool:
    """Audit one cell per data set and method, a line for each; False if the user interrupted."""
    units: dict[str, AuditUnit] = {unit.name: unit for unit in plan_audits(cells, store)}
    titles = {cell.key: cell.title for cell in cells}
    audits = AuditStore(store.layout.out)

    def listen(event: Event) -> None:
        if isinstance(event, UnitStarted) and event.unit in units:
            for key in units[event.unit].targets:
                say(f"auditing {titles[key]}")
        elif isinstance(event, (AuditEnded, CellElsewhere)):
            key = event.key.removeprefix(AUDIT)
            found = audits.read(key)
            if found is not None:
                say(f"audited {titles[key]}: {found['outcome']} ({found['seconds']:.0f} s)")
        elif isinstance(event, Waiting):
            for who, claims in event.held.items():
                say(f"waiting for {len(claims)} audits that {who} makes")

    return run_audits(store, cells, executor, settings, listen)


def conclude(cells: Sequence[Cell], store: RecordStore) -> bool:
    """Print the table of audits on standard error; whether every method passed."""
    found = list(verdicts(cells, store))
    say("\n" + table(found))
    if any(verdict.outcome == FAILED for verdict in found):
        say(
            f"an audit failed: what it measured is in {store.layout.audits}/KEY.json, what it means"
            " in docs/audit.md"
        )
    return all(verdict.outcome == OK for verdict in found)


def table(found: Sequence[Verdict]) -> str:
    """One line per data set and method: ``ok``, ``FAILED`` with the reason, or ``not audited``."""
    lines = [
        [
            verdict.cell.dataset,
            verdict.cell.label,
            verdict.cell.seed,
            verdict.outcome.upper() if verdict.outcome == FAILED else verdict.outcome,
            verdict.reason or "; ".join(verdict.notes),
        ]
        for verdict in found
    ]
    headings = ["Audit on", "Method", "Seed", "Outcome", "Reason"]
    return markdown.table(headings, lines)
