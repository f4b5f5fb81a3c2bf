"""Where every number comes from: data, methods, environments, cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from gzsl_bench.records.record import Record
from gzsl_bench.results.rows import Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.axes import described
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.wording import counted


@dataclass(frozen=True)
class Grid:
    """A table of texts: headings and lines; numbers of columns that hold numbers."""

    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()


def environments(results: Results) -> tuple[Grid, dict[str, int]]:
    """Distinct versions, hardware, commits and commands, numbered, and which one each cell had."""
    numbers: dict[str, int] = {}
    counts: dict[int, int] = {}
    lines: dict[int, list[str]] = {}
    of_cell: dict[str, int] = {}
    for cell in results.suite.cells:
        record = results.record(cell.key)
        if record is None:
            continue
        about = record.provenance
        parts = [
            _pairs(about.versions),
            _pairs(about.hardware),
            str(about.program or "unknown"),
            about.started_in or "-",
            about.command or "unknown",
        ]
        number = numbers.setdefault(json.dumps(parts), len(numbers) + 1)
        counts[number] = counts.get(number, 0) + 1
        lines[number] = parts
        of_cell[cell.key] = number
    grid = Grid(
        ("No.", "Cells", "Versions", "Hardware", "gzsl-bench", "Started in", "Command"),
        tuple((str(n), str(counts[n]), *parts) for n, parts in lines.items()),
        (0, 1),
    )
    return grid, of_cell


def made_of(results: Results) -> str:
    """How many records there are, and when the newest one ended."""
    found = [r for key in results.cells if (r := results.record(key)) is not None]
    if not found:
        return "no record"
    newest = max(r.provenance.started + timedelta(seconds=r.provenance.seconds) for r in found)
    day = f"{newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{counted(len(found), 'record')}, the newest of {day}"


def datasets(suite: ResolvedSuite) -> Grid:
    """Data sets with what identifies them."""
    lines = []
    for entry in suite.datasets:
        about = entry.get("provenance", {})
        files = ", ".join(
            f"{name} ({_file(facts)})" for name, facts in about.get("files", {}).items()
        )
        lines.append(
            (
                str(entry.get("label")),
                str(entry.get("features")),
                str(entry.get("attributes")),
                str(entry.get("fingerprint")),
                _pairs(entry.get("sizes", {})),
                str(about.get("lists") or "-"),
                _pairs(about.get("split_hashes", {})) or "-",
                files or "-",
                "; ".join(
                    f"fold {f['fold']} ({f.get('source', 'derived')}): {f['seen_classes']} seen,"
                    f" {f['unseen_classes']} unseen, {f.get('content', '')}"
                    for f in entry.get("folds", ())
                )
                or "none",
            )
        )
    return Grid(
        ("Data set", "Features", "Class embedding", "Fingerprint", "Sizes", "Lists", "Split hashes",
         "Files", "Validation folds"), tuple(lines),
    )  # fmt: skip


def methods(table: Sequence[Row], results: Results) -> Grid:
    """Methods with version, source, fidelity and preprocessing; a line for all data sets alike."""
    lines: dict[tuple[str, ...], dict[str, None]] = {}
    for row in (row for row in table if row.keys):
        cell = results.cells[row.keys[0]][0]
        rest = (
            str(row.label),
            str(row.method),
            str(row.version) + (f", source {row.source}" if row.source else ""),
            str(cell.about.get("distribution", "-")),
            str(row.fidelity),
            str(row.preprocessing),
            str(row.setting),
            str(row.precision),
            str(row.audit or "not audited"),
            str(cell.about.get("citation") or "-"),
        )
        lines.setdefault(rest, {})[str(row.dataset)] = None
    return Grid(
        ("Method", "Data sets", "Name", "Version", "Distribution", "Fidelity", "Preprocessing",
         "Setting", "Precision", "Audit", "Citation"),
        tuple((rest[0], ", ".join(found), *rest[1:]) for rest, found in lines.items()),
    )  # fmt: skip


def configurations(table: Sequence[Row], results: Results) -> Grid:
    """The full configuration of each method, a line for all data sets with the same one.

    A table of its own: beside everything else its long lines would leave the others empty.
    """
    lines: dict[tuple[str, str], dict[str, None]] = {}
    for row in (row for row in table if row.keys):
        config = results.cells[row.keys[0]][0].identity["method"]["config"]
        place = (str(row.label), _pairs(config) or "none")
        lines.setdefault(place, {})[str(row.dataset)] = None
    return Grid(
        ("Method", "Data sets", "Configuration"),
        tuple((label, ", ".join(found), config) for (label, config), found in lines.items()),
    )


def cells(results: Results, table: Sequence[Row], environment: Mapping[str, int]) -> Grid:
    """Every cell with its key, the checkpoints that rules chose, time and environment."""
    chosen: dict[str, list[str]] = {}
    for row in table:
        if "+" not in row.selection and not row.unavailable:
            for key, numbers in zip(row.keys, row.checkpoints, strict=True):
                shown = ", ".join(described(row.axes, number) for number in numbers)
                chosen.setdefault(key, []).append(f"{row.selection} {shown}")
    lines = [
        (
            results.data_names.of(cell),
            *_cell(
                cell,
                results.record(cell.key),
                chosen.get(cell.key, ()),
                environment.get(cell.key),
            ),
        )
        for cell in results.suite.cells
    ]
    return Grid(
        ("Data set", "Method", "Task", "Seed", "Status", "Checkpoints", "Seconds", "Started",
         "Environment", "Key"), tuple(lines), (3, 6, 8),
    )  # fmt: skip


def failures(results: Results) -> Grid:
    """Cells without numbers: failed ones, those a method does not apply to, those not run."""
    lines = []
    for cell in results.suite.cells:
        record = results.record(cell.key)
        if record is not None and record.complete:
            continue
        status = "not run" if record is None else record.status
        cause = "" if record is None else record.cause
        task = f"fold {cell.fold}" if cell.fold else "real"
        dataset = results.data_names.of(cell)
        lines.append((dataset, cell.label, task, str(cell.seed), status, cause, cell.key))
    order = {"failed": 0, "not applicable": 1, "not run": 2}
    lines.sort(key=lambda line: order[line[4]])
    return Grid(
        ("Data set", "Method", "Task", "Seed", "Status", "Cause", "Key"), tuple(lines), (3,)
    )


def _cell(
    cell: Cell, record: Record | None, chosen: Sequence[str], environment: int | None
) -> tuple[str, ...]:
    return (
        cell.label,
        f"fold {cell.fold}" if cell.fold else "real",
        str(cell.seed),
        record.status if record else "not run",
        ", ".join(chosen) or "-",
        f"{record.seconds_each:.1f}" if record else "-",
        record.provenance.started.isoformat() if record else "-",
        "-" if environment is None else str(environment),
        cell.key,
    )


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _file(facts: Mapping[str, Any]) -> str:
    """``25732454 bytes, md5 ...``."""
    parts = [f"{facts['bytes']} bytes"] if "bytes" in facts else []
    return ", ".join([*parts, *(f"{n} {v}" for n, v in facts.items() if n != "bytes")])
