"""How figures look, and how one becomes SVG that can stand in an HTML page.

Colours are those of Okabe and Ito (2008, "Color universal design"), without
the yellow, which is too light for a line on white; a method keeps its colour
in every figure, and groups of one method and mode differ in their markers. Where
all runs are of one method, each group has a colour.
Simulated is a solid line with filled markers, deployed a dashed line with open
ones, so that print in grey tells them apart.

Ink, grid and spread are fixed colours that the style sheet turns over in the dark.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from edge_fd.report.groups import Group

INK = "#1f2328"
GRID = "#d8dee4"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", INK)
DASHES = {"simulated": ("-", (0, (7, 1.5, 1.5, 1.5))), "deployed": ((0, (4, 2)), (0, (1, 1)))}
"""Lines of the first methods, and of those from the ninth on, which have their colours."""
MARKERS = "os^Dv>P"
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    # A name with dollar signs is a name, not a formula.
    "text.parse_math": False,
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 9,
    "ytick.color": INK,
    "ytick.labelsize": 9,
}


@contextmanager
def style(name: str) -> Iterator[None]:
    """Set the look for the figures that are made inside; ``name`` salts their ids."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        yield


def looks(groups: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """Return the line properties of each group, by its title."""
    methods = list(dict.fromkeys(group.method for group in groups))
    alone = len(methods) == 1
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for group in groups:
        twin = seen[group.method, group.mode]
        seen[group.method, group.mode] += 1
        place = twin if alone else methods.index(group.method)
        lap, at = divmod(place, len(PALETTE))
        found[group.title] = {
            "color": PALETTE[at],
            # The ninth method has the colour of the first, but neither its marker nor its line.
            "marker": MARKERS[(place + 3 * (0 if alone else twin)) % len(MARKERS)],
            "linestyle": DASHES[group.mode][lap % 2],
            "markerfacecolor": PALETTE[at] if group.mode == "simulated" else "none",
        }
    return found


def svg(figure: Figure, name: str, title: str) -> str:
    """Return the figure as one ``<svg>`` element, the same for the same figure.

    Text stays text. Ids carry ``name``, so that several figures can stand in
    one page; ``title`` is what a screen reader says.
    """
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing, bbox_inches="tight", pad_inches=0.04)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("'DejaVu Sans'", FONTS.replace("'", ""))
    head = f'<svg role="img" aria-label="{title}" '
    return text.replace("<svg ", head, 1)
