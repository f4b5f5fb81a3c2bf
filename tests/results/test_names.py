"""Entries of a suite that share a label: told apart by what they ask for."""

from __future__ import annotations

from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.latest import Latest
from gzsl_bench.results.names import DataNames
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell, digest
from gzsl_bench.suite.resolved import ResolvedSuite


def make_cell(label="A", seed=0, attributes="att", preprocessing="minmax", **request) -> Cell:
    identity = {
        "task": "real", "seed": seed, "preprocessing": preprocessing, "method": {"name": label},
        "dataset": {"attributes": attributes},
    }  # fmt: skip
    return Cell(
        key=digest(identity), identity=identity, dataset="CUB", method="m", label=label, seed=seed,
        request={"use": "CUB", "features": "res101", "attributes": attributes, **request},
        about={"fidelity": "paper"},
    )  # fmt: skip


def test_what_differs_is_named_and_nothing_else():
    same, other = make_cell(), make_cell(attributes="sentences.npy", preprocessing="l2")
    alone = make_cell("B", regions="maps")
    names = DataNames([same, make_cell(seed=1), other, alone])
    assert names.of(same) == names.of(make_cell(seed=1)) == "CUB (att, minmax)"
    assert names.of(other) == "CUB (sentences.npy, l2)"
    assert names.of(alone) == "CUB"
    maps = DataNames([same, make_cell(regions="maps")])
    assert names.of(same) != maps.of(same) == "CUB (none)"


def test_no_mean_of_a_run_at_work_goes_over_two_data_sets_of_one_label(tmp_path):
    cells = tuple(make_cell(seed=s, attributes=a) for a in ("att", "w2v") for s in (0, 1))
    suite = ResolvedSuite("s", "", ("last",), cells, (), "name: s\n")
    latest = Latest(Results(suite, RecordStore(tmp_path)))
    assert {place: found.total for place, found in latest.standings.items()} == {
        ("A", "CUB (att)"): 2, ("A", "CUB (w2v)"): 2,
    }  # fmt: skip
