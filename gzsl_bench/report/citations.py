"""What a suite rests on as BibTeX: methods, data sets, backbones and this program."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gzsl_bench.report.latex import comment
from gzsl_bench.version import __version__

#: Backbones by what names of feature sets begin with; the published ones are those of ``res101``.
BACKBONES: Mapping[str, str] = {
    "res": "He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
    "googlenet": "Szegedy et al., Going Deeper with Convolutions, CVPR 2015",
    "vgg": "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image"
    " Recognition, ICLR 2015",
    "mobilenetv2": "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks,"
    " CVPR 2018",
    "efficientnet": "Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural"
    " Networks, ICML 2019",
    "clip": "Radford et al., Learning Transferable Visual Models From Natural Language"
    " Supervision, ICML 2021",
    "vit": "Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image Recognition"
    " at Scale, ICLR 2021",
    "dinov2": "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision,"
    " TMLR 2024",
}
#: Venues that are journals; others are proceedings.
_JOURNALS = frozenset({"TPAMI", "PAMI", "IJCV", "TMLR", "JMLR", "TIP", "TNNLS", "TMM"})
#: ``AUTHORS, TITLE, VENUE YEAR``, the authors ending in ``et al.`` or the last name after ``and``.
_LINE = re.compile(
    r"(?P<authors>.+?(?: et al\.| and [^,]+)), (?P<title>.+), (?P<venue>[^,]+) (?P<year>\d{4})"
)
_SPLIT = "; split: "
_SPECIAL = re.compile(r"([&%#_$])")


@dataclass(frozen=True)
class Work:
    """A publication and what it stands for.

    Attributes:
        citation: in one line.
        uses: ``method ACMR``, ``data set CUB``.
    """

    citation: str
    uses: tuple[str, ...]


def works(uses: Iterable[tuple[str, str]]) -> list[Work]:
    """Publications in the order in which they are first used, each once.

    Args:
        uses: (what it is for, citation in one line; that of a split may follow after ``; split:``).
    """
    found: dict[str, dict[str, None]] = {}
    for what, line in uses:
        own, _, split = line.partition(_SPLIT)
        for text, why in ((own, what), (split, f"split of {what.removeprefix('data set ')}")):
            if plain := " ".join(text.replace('"', "").split()).rstrip("."):
                found.setdefault(plain, {})[why] = None
    return [Work(text, tuple(why)) for text, why in found.items()]


def backbone(features: str) -> str:
    """The publication of the network that a feature set's name speaks of; empty if none does."""
    name = features.lower()
    return next((line for start, line in BACKBONES.items() if name.startswith(start)), "")


def bibtex(found: Iterable[Work]) -> str:
    """Entries with a comment each on what they stand for, this program's last."""
    keys: set[str] = set()
    entries = [f"{comment(', '.join(work.uses))}\n{_entry(work.citation, keys)}" for work in found]
    return "\n\n".join([*entries, _program()])


def _entry(line: str, keys: set[str]) -> str:
    parts = _LINE.fullmatch(line)
    if parts is None:
        return _written("misc", _key(line, "", "", keys), {"note": _escaped(line)})
    authors, title, venue, year = parts.group("authors", "title", "venue", "year")
    names = authors.replace(" et al.", " and others").replace(", ", " and ")
    if venue in _JOURNALS:
        kind, where = "article", "journal"
    else:
        kind, where = "inproceedings", "booktitle"
    return _written(
        kind,
        _key(authors, year, title, keys),
        {
            "author": _escaped(names),
            "title": f"{{{_escaped(title)}}}",
            where: _escaped(venue),
            "year": year,
        },
    )


def _program() -> str:
    fields = {
        "author": "{The gzsl-bench authors}",
        "title": "{gzsl-bench: a plugin-based benchmark harness for generalized zero-shot"
        " learning}",
        "version": __version__,
    }
    return "% this program\n" + _written("software", "gzsl-bench", fields)


def _written(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _key(authors: str, year: str, title: str, keys: set[str]) -> str:
    """``fang2022learning``, with a letter behind it where that is taken."""
    plain = unicodedata.normalize("NFKD", f"{authors} | {title}").encode("ascii", "ignore").decode()
    who, _, what = plain.lower().partition(" | ")
    first = re.findall(r"[a-z]+", who)[:1]
    word = [w for w in re.findall(r"[a-z0-9]+", what) if w not in ("a", "an", "the", "on")][:1]
    base = "".join([*first, year, *word]) or "work"
    key = next(k for k in (base, *(base + c for c in "bcdefghijklmnopqrstuvwxyz")) if k not in keys)
    keys.add(key)
    return key


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
