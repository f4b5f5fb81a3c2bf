"""Figures as bytes and files: SVG for the page, PNG and PDF for papers, the data as CSV."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import RecordError
from gzsl_bench.markdown import csv_text
from gzsl_bench.report.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PATH = re.compile(r' d="[^"]*"')
_DIGITS = re.compile(r"(\.\d\d)\d+")
#: Of PNG files: print quality at the size of the page.
DPI = 200


@styled
def as_bytes(figure: Figure, fmt: str) -> bytes:
    """A figure as ``svg``, ``png`` or ``pdf``, without the time of its making."""
    if fmt == "svg":
        return _svg(figure)
    buffer = io.BytesIO()
    dated: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "png": {"Software": None},
    }
    figure.savefig(buffer, format=fmt, dpi=DPI, metadata=dated[fmt])
    return buffer.getvalue()


def _svg(figure: Figure) -> bytes:
    """Drawn once (``savefig`` draws twice), with coordinates to a hundredth of a point."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = _PATH.sub(lambda path: _DIGITS.sub(r"\1", path[0]), buffer.getvalue())
    return text.encode()


def unused(name: str, taken: set[str]) -> str:
    """``name``, or with a number where a file is called so already, whatever its letters' case."""
    found, number = name, 2
    while found.lower() in taken:
        found, number = f"{name}-{number}", number + 1
    taken.add(found.lower())
    return found


def data_uri(svg: bytes) -> str:
    """An SVG to stand in ``<img src>``: there nothing in it is ever run or loaded."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def write(folder: Path, name: str, figure: Figure, rows: Sequence[Mapping[str, Any]]) -> None:
    """``name.png``, ``name.pdf`` and ``name.csv`` in ``folder``.

    Raises:
        RecordError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for fmt in ("png", "pdf"):
            (folder / f"{name}.{fmt}").write_bytes(as_bytes(figure, fmt))
        (folder / f"{name}.csv").write_text(csv_text(rows) + "\n", encoding="utf-8")
    except OSError as error:
        raise RecordError(f"the plots cannot be written to {folder}: {error}") from error
