"""Words that follow from numbers."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``, ``1 unseen class``, ``3 unseen classes``."""
    return f"{number} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    """The noun as it stands behind this number."""
    return noun if number == 1 else f"{noun}{'es' if noun.endswith('s') else 's'}"


def duration(seconds: float, *, exact: bool = False, most: int = 120) -> str:
    """``3.4 s``, ``41 s``, ``12 min``, ``3.4 h``.

    Args:
        seconds: how long.
        exact: to three digits (``7.5 min``), as limits are said that somebody has set.
        most: from so many seconds on it is told in minutes, from so many minutes on in hours.
    """
    if seconds < most:
        number, unit, rough = seconds, "s", ".2g" if seconds < 10 else ".0f"
    elif seconds < 60 * most:
        number, unit, rough = seconds / 60, "min", ".0f"
    else:
        number, unit, rough = seconds / 3600, "h", ".1f"
    return f"{number:{'.3g' if exact else rough}} {unit}"


def about(seconds: float) -> str:
    """An estimate: ``about 40 s``, ``about 12 min``, ``about 3.5 h``."""
    return f"about {duration(round(seconds), most=90)}"
