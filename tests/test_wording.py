"""Words that follow from numbers."""

from __future__ import annotations

import pytest

from gzsl_bench.wording import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(0, "cell", "0 cells"), (1, "unseen class", "1 unseen class"), (2, "class", "2 classes")],
)
def test_things_are_counted(number, noun, said):
    assert counted(number, noun) == said
