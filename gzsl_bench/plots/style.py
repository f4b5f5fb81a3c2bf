"""The common look: readable in greyscale, by people who do not see colours, and at 100 % zoom.

Methods differ by colour, lightness, line style and marker at once.  Figures are made with
matplotlib's objects (no pyplot, no global state) on white: they look the same on a dark page.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

#: Dark, middle and light in turn; after Wong (Nature Methods 2011) and Tol's muted scheme.
COLOURS = (
    "#004488", "#d55e00", "#56b4e9", "#222222", "#cc79a7",
    "#882255", "#009e73", "#ddaa33", "#332288", "#999933",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")
DASHES: tuple[Any, ...] = (
    "-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 3)),
    (0, (4, 1, 1, 1, 1, 1)),
)  # fmt: skip
GREY, PALE = "#595959", "#c8c8c8"
#: Fields of the parts of a bar: right, wrong within the part, wrong across the parts.  Lines, for
#: dots would take 100 kB of an SVG.
SHARES = (("#004488", ""), ("#bbbbbb", "xx"), ("#d55e00", "///"))

#: Typed loosely: matplotlib lists every name it knows.
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # where it would be anyway; finding that out costs a layout of all ticks
    "axes.labelsize": 10,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "hatch.linewidth": 0.6,
    "hatch.color": "white",
    "text.usetex": False,
    "text.parse_math": False,
    # The same figure gives the same bytes.
    "svg.hashsalt": "gzsl-bench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}

#: Letters of a label; of a title.
LABEL, TITLE = 34, 90


def styled(make: Callable[P, T]) -> Callable[P, T]:
    """Run a function under the common settings."""

    @functools.wraps(make)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        import warnings

        import matplotlib as mpl

        with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
            # A label may hold letters that the font lacks: it then shows boxes, and no more.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            return make(*args, **kwargs)

    return wrapped


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """An empty white figure, in inches; a page shows an inch as 96 pixels.

    Args:
        width: in inches.
        height: in inches.
        layout: None where the plot places its axes itself, which is much faster for many axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def colour(index: int) -> str:
    """Of the method with this number."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """Colours and markers repeat after 10 and 11: 110 methods differ."""
    return MARKERS[index % len(MARKERS)]


def dash(index: int) -> Any:
    """Line style of a method: seven of them, so that neighbours in colour differ in style, too."""
    return DASHES[index % len(DASHES)]


def words(text: str, longest: int = LABEL) -> str:
    """A label for a figure: one line, not too long, and never left out of a legend."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    short = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    # matplotlib leaves labels that begin with an underscore out.
    return f" {short}" if short.startswith("_") else short or " "


def broken(text: str, letters: int) -> str:
    """A text for a figure, broken between words into at most two lines of so many letters."""
    return "\n".join(textwrap.wrap(words(text, len(text)), letters, max_lines=2, placeholder=" …"))


def logarithmic(axis: Any) -> None:
    """Ticks of a logarithmic axis as numbers: ``0.01``, never as a formula.

    Args:
        axis: an axis that is logarithmic and has its limits.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def heading(figure: Figure, title: str, height: float | None = None, below: str = "") -> None:
    """A title at the upper left of a figure.

    Args:
        figure: the figure.
        title: its title.
        height: of a figure that places its axes itself, in inches.
        below: what stands under the title: lines that keep room free, say.
    """
    where = {} if height is None else {"y": 1 - 0.08 / height, "va": "top"}
    figure.suptitle(
        words(title, TITLE) + below, x=0.01, ha="left", fontsize=11, fontweight="bold", **where
    )
