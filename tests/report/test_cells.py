"""Rows of one label are told apart by what their keys differ in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gzsl_bench.report.cells import Table
from gzsl_bench.results.rows import Row

ROW = Row(
    dataset="digits", features="f", attributes="a", fingerprint="0", images="0", method="m",
    label="M", selection="last", seeds=(0,), metrics={}, keys=("k",), preprocessing="none",
    setting="inductive", precision="float32", fidelity="paper", version="1",
    source="aaaaaaaabbbb", code="stacked 1, streams 1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seeds": (1,)}, ("M", "M")),
        ({"version": "2", "source": "cc"}, ("M (1)", "M (2)")),
        ({"source": "cccccccc"}, ("M (source aaaaaaaa)", "M (source cccccccc)")),
        ({"source": None}, ("M (source aaaaaaaa)", "M (source unknown)")),
        ({"code": "streams 1"}, ("M (stacked 1, streams 1)", "M (streams 1)")),
        (
            {"fidelity": "external", "source": "cc"},
            ("M (source aaaaaaaa)", "M [external] (source cc)"),
        ),
        ({"label": "N", "source": "cc"}, ("M", "N")),
    ],
)
def test_rows_of_one_label(change, names):
    other = replace(ROW, **change)
    layout = Table((ROW, other))
    assert (layout.who(ROW), layout.who(other)) == names
