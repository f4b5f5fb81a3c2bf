"""Which classes a backbone has seen: class names among those of the data it was trained on.

Unseen classes are to be unseen by the backbone, too (Xian et al., TPAMI 2019, section 3.1).  Names
are all there is to go by, so a match is certain only where a name is one of the words of a class of
ImageNet-1k.  Where one ends with the other (``sheep``, ``bighorn sheep``), one may be a kind of the
other, and that is said with doubt.  A kind called by another word altogether is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LIST = Path(__file__).with_name("imagenet1k.txt")
IMAGENET = "imagenet-1k"
#: What stands before a class name in some data sets: ``001.Black_footed_Albatross``.
_NUMBER = re.compile(r"^\d+[.\s_-]+")
#: Names of that many are written out.
_MOST = 12


@dataclass(frozen=True)
class Exposure:
    """What a backbone has seen of some classes.

    Attributes:
        sure: names that are names of its training classes, each with another name of that class
            (``mouse`` is a ``computer mouse`` there), or "".
        doubtful: names that may be, each with the class that it resembles.
    """

    sure: tuple[tuple[str, str], ...]
    doubtful: tuple[tuple[str, str], ...]

    @property
    def names(self) -> frozenset[str]:
        """Of all classes that it has or may have seen."""
        return frozenset(name for name, _ in (*self.sure, *self.doubtful))


def among_imagenet(names: Iterable[str]) -> Exposure:
    """Which class names are classes of ImageNet-1k.

    Args:
        names: as a data set has them: numbers before, underscores, plus signs and case are passed
            over.
    """
    known, ends = _words()
    sure, doubtful = [], []
    for name in names:
        words = plain(name)
        if " ".join(words) in known:
            sure.append((name, known[" ".join(words)]))
            continue
        # Either is the last words of the other: "albatross" of "black footed albatross".
        shorter = (" ".join(words[at:]) for at in range(1, len(words)))
        like = ends.get(" ".join(words)) or next((s for s in shorter if s in known), None)
        if like is not None:
            doubtful.append((name, like))
    return Exposure(tuple(sure), tuple(doubtful))


def plain(name: str) -> tuple[str, ...]:
    """The words of a class name, in lower case and in the singular where that is regular."""
    return tuple(map(_singular, spoken(name).replace("'s", "").lower().split()))


def spoken(name: str) -> str:
    """A class name as one says it: without number, underscores and plus signs."""
    return " ".join(re.sub(r"[^\w']|_", " ", _NUMBER.sub("", name)).split())


def _singular(word: str) -> str:
    regular = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if regular else word


@cache
def _words() -> tuple[dict[str, str], dict[str, str]]:
    """Every name of a class with another one, and what longer ones end with."""
    known: dict[str, str] = {}
    ends: dict[str, str] = {}
    for line in _LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        names = line.partition(" ")[2].split(", ")
        for word in names:
            parts = plain(word)
            known.setdefault(" ".join(parts), next((n for n in names if n != word), ""))
            for at in range(1, len(parts)):
                ends.setdefault(" ".join(parts[at:]), word)
    return known, ends


def sentence(unseen: Sequence[str] | None, trained_on: str) -> str:
    """What to say under a table whose features come from a backbone.

    Args:
        unseen: names of the unseen classes; None where they are not known.
        trained_on: what the backbone's weights come from.
    """
    if trained_on == "unknown":
        return "what the backbone was trained on is not known, nor which classes it has seen"
    if not trained_on.lower().startswith("imagenet"):
        return f"the backbone was trained on {trained_on}; unseen classes may be among them"
    if unseen is None:
        return f"the backbone was trained on {trained_on}; class names are needed to compare"
    found = among_imagenet(unseen)
    if not found.names:
        return f"trained on {trained_on}: no unseen class is a class of {IMAGENET} by its name"
    parts = []
    if found.sure:
        parts.append(
            f"{len(found.sure)} of {len(unseen)} unseen classes were seen by the backbone, trained"
            f" on {trained_on}: {_some([n + (f' ({o})' if o else '') for n, o in found.sure])}"
        )
    if found.doubtful:
        like = [f"{name} ({other}?)" for name, other in found.doubtful]
        more = "more" if parts else "of the unseen classes"
        start = f"{len(like)} {more} may have been" if parts else (
            f"{len(like)} of {len(unseen)} unseen classes may have been seen by the backbone,"
            f" trained on {trained_on}"
        )  # fmt: skip
        parts.append(f"{start}: {_some(like)}")
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
