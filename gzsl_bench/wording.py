"""Words that follow from numbers."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``, ``1 unseen class``, ``3 unseen classes``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"
