"""What classes are called: by their names where the data set has any, else by their numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"^\d+\.(?=\D)")


def class_names(datasets: Sequence[Mapping[str, Any]], fingerprint: str) -> tuple[str, ...]:
    """Names by class id, as a reader wants them; empty where none are known.

    Args:
        datasets: what the suite keeps of its data.
        fingerprint: of the data meant.
    """
    found = next((e for e in datasets if e.get("fingerprint") == fingerprint), {})
    return tuple(readable(str(name)) for name in found.get("classes", ()))


def nameless(dataset: str) -> str:
    """What is said once of a data set whose classes have numbers alone."""
    return (
        f"{dataset}: its files name no classes, so these are numbers, from 0 in the order of the"
        " labels; allclasses.txt in its folder, or classes in dataset.yaml, would name them."
    )


def readable(name: str) -> str:
    """``001.Black_footed_Albatross`` as ``Black footed Albatross``; ``grizzly+bear`` likewise."""
    return re.sub(r"[_+]+", " ", _NUMBER.sub("", name)).strip() or name


def called(number: int, names: Sequence[str]) -> str:
    """A class's name, or its number."""
    return names[number] if number < len(names) else str(number)
