"""Figures as bytes and files: SVG for pages, PNG and PDF for papers, the data as CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from gzsl_bench.errors import RecordError
from gzsl_bench.markdown import csv_text
from gzsl_bench.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PATH = re.compile(r' d="[^"]*"')
_DIGITS = re.compile(r"(\.\d\d)\d+")
#: Of an SVG without texts nothing but its description has blanks that mean something.
_COMMENT, _BLANKS = re.compile(r"<!--.*?-->", re.DOTALL), re.compile(r"(?<=>)\s+(?=<)")
#: Of PNG files: print quality at the size of the page.
DPI = 200


@styled
def as_bytes(figure: Figure, fmt: str, about: str = "") -> bytes:
    """A figure as ``svg``, ``png`` or ``pdf``, without the time of its making.

    Args:
        figure: the figure.
        fmt: of the file.
        about: what was measured, kept in a PNG or PDF; to an SVG :func:`described` adds it.
    """
    if fmt == "svg":
        return _svg(figure)
    buffer = io.BytesIO()
    dated: dict[str, dict[str, Any]] = {
        "pdf": {
            "CreationDate": None,
            "Producer": None,
            "Creator": None,
            "Subject": _plain(about) or None,
        },
        "png": {"Software": None, "Description": _plain(about) or None},
    }
    figure.savefig(buffer, format=fmt, dpi=DPI, metadata=dated[fmt])
    return buffer.getvalue()


def _svg(figure: Figure) -> bytes:
    """Drawn once (``savefig`` draws twice), with coordinates to a hundredth of a point."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = _PATH.sub(lambda path: _DIGITS.sub(r"\1", path[0]).replace("\n", ""), buffer.getvalue())
    text = _BLANKS.sub("", _COMMENT.sub("", text))
    return text.encode()


def unused(name: str, taken: set[str]) -> str:
    """``name``, or with a number where a file is called so already, whatever its letters' case."""
    found, number = name, 2
    while found.lower() in taken:
        found, number = f"{name}-{number}", number + 1
    taken.add(found.lower())
    return found


def data_uri(svg: bytes) -> str:
    """An SVG to stand in ``<img src>``: there nothing in it is ever run or loaded.

    Escaped, for as base64 it would take a quarter more; what is left needs none in HTML.
    """
    text = svg.decode().replace("'", "&apos;").replace('"', "'")
    return "data:image/svg+xml," + quote(text, safe=" '=/:;,().@!*+")


def described(svg: bytes, about: str) -> bytes:
    """An SVG that says what was measured, as its description."""
    text = f"<desc>{escape(_plain(about))}</desc>"
    return svg.replace(b"<metadata>", f"{text}<metadata>".encode(), 1)


def _plain(about: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in about)


def write(
    folder: Path,
    name: str,
    figure: Figure,
    rows: Sequence[Mapping[str, Any]],
    about: str = "",
) -> None:
    """``name.png``, ``name.pdf`` and ``name.csv`` in ``folder``.

    Args:
        folder: made where it is absent.
        name: of the files.
        figure: the figure.
        rows: its data.
        about: what was measured, kept in each picture.

    Raises:
        RecordError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for fmt in ("png", "pdf"):
            (folder / f"{name}.{fmt}").write_bytes(as_bytes(figure, fmt, about))
        (folder / f"{name}.csv").write_text(csv_text(rows) + "\n", encoding="utf-8")
    except OSError as error:
        raise RecordError(f"the plots cannot be written to {folder}: {error}") from error
