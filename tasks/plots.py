"""Figures of a run: one small theme, units on the axes, colours that a colour-blind reader can tell apart.

`svg` gives text to stand inside a page, whose colours follow the page (light or dark); `png` gives a picture that stands
by itself. Matplotlib is loaded when the first figure is drawn.
"""

import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color universal design"; in a page each becomes a variable, so that a dark page can lighten it.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED)
INK, FAINT = "#22262b", "#c9cdd2"
VARIABLES = {
    INK: "var(--ink)", FAINT: "var(--grid)", BLUE: "var(--c1)", ORANGE: "var(--c2)", GREEN: "var(--c3)", PURPLE: "var(--c4)",
    RED: "var(--c5)",
}  # fmt: skip
THEME = {
    "font.family": "sans-serif", "font.size": 9.0, "text.color": INK, "text.parse_math": False,
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "axes.titlesize": 10.0, "axes.titlelocation": "left", "axes.titleweight": "bold",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "axes.titlecolor": INK,
    "grid.color": FAINT, "grid.linewidth": 0.5, "xtick.color": INK, "ytick.color": INK, "xtick.labelsize": 8.0, "ytick.labelsize": 8.0,
    "xtick.major.size": 0.0, "ytick.major.size": 0.0, "lines.linewidth": 1.3, "legend.frameon": False, "legend.fontsize": 8.0,
    "figure.facecolor": "none", "axes.facecolor": "none", "svg.fonttype": "none", "path.simplify": True,
}  # fmt: skip


def figure(rows: int = 1, columns: int = 1, *, width: float = 10.5, height: float = 2.8, **more: Any) -> "tuple[Figure, Any]":
    """A figure in the theme with its axes; sizes in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("Agg")
    for key, value in THEME.items():
        mpl.rcParams[key] = value  # pyright: ignore[reportArgumentType]
    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, **more)


def svg(made: "Figure", name: str) -> str:
    """The figure as an `<svg>` element; `name` keeps its ids apart from those of other figures of the page."""
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        made.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    found = text.getvalue()
    found = re.sub(r"\s*<metadata>.*?</metadata>", "", found[found.index("<svg") :], flags=re.DOTALL)
    found = re.sub(
        r'\bid="(figure|axes|patch|line2d|text|matplotlib|xtick|ytick|legend|PolyCollection|LineCollection|StepPatch)[^"]*"', "", found
    )
    found = re.sub(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"', r'<svg role="img" width="\1pt" height="\2pt"', found, count=1)
    if "viewBox" not in found[:400]:
        width, height = made.get_size_inches() * 72
        found = found.replace("<svg ", f'<svg viewBox="0 0 {width:g} {height:g}" xmlns="http://www.w3.org/2000/svg" ', 1)
    found = found.replace("xlink:href", "href")
    for color, variable in VARIABLES.items():
        found = found.replace(color, variable)
    return re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", found)


def png(made: "Figure") -> bytes:
    """The figure as a PNG on white."""
    picture = io.BytesIO()
    made.savefig(picture, format="png", dpi=110, facecolor="white")
    return picture.getvalue()


def nothing(ax: "Axes", why: str) -> None:
    """An empty plot that says why it is empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes)


def finite(values: Sequence[Any] | None) -> list[float]:
    """Numbers with every hole as NaN, so that a line breaks there."""
    return [float("nan") if v is None else float(v) for v in values or []]


def best_epoch(found: Mapping[str, Sequence[Any]]) -> int | None:
    """The epoch, from 1, whose weights were kept: that of the lowest validation loss."""
    losses = [(loss, epoch) for epoch, loss in enumerate(finite(found.get("validation_loss")), 1) if not isnan(loss)]
    return min(losses)[1] if losses else None


def curves(found: Mapping[str, Sequence[float]]) -> "Figure":
    """Loss, the parts of the volatility loss, and the learning rate, over epochs."""
    made, axes = figure(1, 3)
    panels = (
        ("Loss", {"train_loss": "training", "validation_loss": "validation"}, "loss"),
        ("Volatility loss", {"train_mse": "mean square", "train_huber": "Huber"}, "loss"),
        ("Learning rate", {"learning_rate": "learning rate"}, "per step"),
    )
    for ax, (title, lines, unit) in zip(axes, panels, strict=True):
        drawn, n = 0, 0
        for color, (key, name) in zip(SERIES, lines.items(), strict=False):
            values = finite(found.get(key))
            if not values:
                continue
            mark = "o" if len(values) < 30 else ""
            ax.plot(range(1, len(values) + 1), values, label=name, color=color, marker=mark, markersize=3)
            drawn, n = drawn + 1, len(values)
        if not drawn:
            nothing(ax, "nothing was recorded")
        elif drawn > 1:
            ax.legend()
        if title == "Loss" and (best := best_epoch(found)):
            ax.axvline(best, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.set_title(title)
        ax.set_xlabel("epoch" if n == len(found.get("train_loss") or []) else "step")
        ax.set_ylabel(unit)
        ax.xaxis.get_major_locator().set_params(integer=True)
    return made


def calibration(bins: Sequence[Sequence[float]], error: float | None) -> "Figure":
    """How often a direction was right against how sure the model was; the size of a point is the number of windows."""
    made, ax = figure(width=4.4, height=3.6)
    filled = [b for b in bins if b[0] is not None and b[1] is not None and (len(b) < 3 or b[2])]
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    if filled:
        most = max(b[2] for b in filled)
        ax.scatter(
            [b[0] for b in filled], [b[1] for b in filled], s=[12 + 150 * b[2] / most for b in filled], color=BLUE, alpha=0.75, linewidths=0
        )
        low, high = min(min(b[0], b[1]) for b in filled), max(max(b[0], b[1]) for b in filled)
        ax.set_xlim(max(0.0, low - 0.05), min(1.0, high + 0.05))
        ax.set_ylim(max(0.0, low - 0.05), min(1.0, high + 0.05))
    ax.set_title("Calibration" + (f", error {error:.1%}" if error is not None else ""))
    ax.set_xlabel("confidence")
    ax.set_ylabel("share that was right")
    return made


def equity(found: Mapping[str, Sequence[Any]]) -> "Figure":
    """Sum of results after cost over the test part, in bps of one unit of notional, of the model and its baselines."""
    made, ax = figure(height=3.2)
    times = [
        datetime.fromtimestamp(t / 1e9, UTC) if isinstance(t, int | float) else datetime.fromisoformat(str(t))
        for t in found.get("ts") or []
    ]
    names = [name for name in found if name != "ts" and found[name]]
    if not times or not names:
        nothing(ax, "nothing was traded in the test part")
        return made
    ax.axhline(0, color=INK, linewidth=0.8)
    for color, name in zip(SERIES, sorted(names, key=lambda n: n != "model"), strict=False):
        ax.step(times, finite(found[name]), where="post", label=name, color=color, linewidth=1.9 if name == "model" else 1.1)
    ax.set_title("Result after cost, test part")
    ax.set_ylabel("bps, summed")
    clock(ax)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names))
    return made


def clock(ax: "Axes") -> None:
    """UTC time on the horizontal axis, as short as it can be."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.set_xlabel("UTC")
