"""A cell whose process died says as much of itself as one that failed in an orderly way."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from records_factory import make_cell

from gzsl_bench.engine import environment
from gzsl_bench.engine.events import UnitStarted, WorkerSettings
from gzsl_bench.engine.failure import Failure, record_failure
from gzsl_bench.engine.program import program
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.record import FAILED, Provenance, Record
from gzsl_bench.records.store import RecordStore

#: What only the process itself could have measured.
UNKNOWN = {"peak_memory"}


@pytest.fixture
def settings(tmp_path) -> WorkerSettings:
    return WorkerSettings(
        tmp_path, None, None, "cpu", 3, command="gzsl-bench run s.yaml --token=geheim",
        program=program(), started_in="0" * 40,
    )  # fmt: skip


def test_every_field_of_a_failed_record_is_in_a_killed_one(settings, tmp_path):
    cells = [make_cell(seed) for seed in (1, 2)]
    unit = Unit("u", tuple(cells))
    begun = environment.provenance(settings, unit.name, [cell.key for cell in cells])
    store = RecordStore(tmp_path)
    told = replace(begun, seconds=2.5, peak_memory=1000)
    store.commit(Record.of(cells[0], FAILED, told, cause="no", traceback="Traceback"))
    failure = Failure("it died", "Fatal Python error: here", 1.25, UnitStarted(unit.name, begun))
    record_failure(unit, cells[1], failure, settings)
    failed, killed = (store.read(cell.key) for cell in cells)
    for field in fields(Record):
        assert bool(getattr(failed, field.name)) == bool(getattr(killed, field.name)), field.name
    for field in fields(Provenance):
        mine, theirs = (getattr(r.provenance, field.name) for r in (killed, failed))
        if field.name not in UNKNOWN:
            assert bool(mine) == bool(theirs), field.name
    about = killed.provenance
    assert about.started == begun.started
    assert (about.seconds, about.trained) == (1.25, (cells[1].key,))
    assert about.hardware == environment.hardware("cpu", 3)
    assert killed.traceback == "Fatal Python error: here"


def test_one_of_which_nothing_is_known_claims_no_hardware(settings, tmp_path):
    cell = make_cell()
    record_failure(Unit("u", (cell,)), cell, Failure("node lost"), settings)
    record = RecordStore(tmp_path).read(cell.key)
    assert record.provenance.hardware == {}
    assert record.provenance.versions == environment.versions()
