"""Figures of a benchmark: latencies, how far ahead of the peers, and each measurement over the last runs."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from tasks.plots import BLUE, GREEN, INK, RED, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ahead(rows: Sequence[Mapping[str, Any]]) -> "Figure | None":
    """How many times better than the best peer, on a logarithmic axis; a tick marks what was asked. None where nothing was compared."""
    found = [r for r in rows if r.get("ratio")]
    if not found:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    made, ax = figure(height=0.9 + 0.24 * len(found))
    for i, row in enumerate(reversed(found)):
        color = RED if row["met"] is False else GREEN if row["met"] else BLUE
        ax.plot([1, row["ratio"]], [i, i], color=color, linewidth=5, solid_capstyle="butt", alpha=0.8)
        ax.annotate(f"{row['ratio']:.3g}x {row['peer']}", (max(1, row["ratio"]), i), textcoords="offset points", xytext=(6, 0), va="center",
                    fontsize=7)  # fmt: skip
        if row.get("target"):
            ax.plot([row["target"]], [i], marker="|", markersize=9, markeredgewidth=1.6, color=INK)
    ax.axvline(1, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(found)), [r["name"] for r in reversed(found)])
    ax.tick_params(axis="y", labelsize=7)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(min(0.8, min(r["ratio"] for r in found) / 1.3), max(r["ratio"] for r in found) * 12)
    ax.set_ylim(-0.7, len(found) - 0.3)
    ax.set_title("Ours over the best peer, same input, same run; | marks what was asked")
    ax.grid(axis="y", visible=False)
    return made


def latency(rows: Sequence[Mapping[str, Any]]) -> "Figure | None":
    """Latencies of a benchmark (unit ms or us) on a logarithmic axis, or None where none was measured."""
    scale = {"ms": 1.0, "us": 1e-3, "µs": 1e-3}
    alone = [r for r in rows if r.get("peer") is None and r.get("first_s") is None]  # what is measured beside peers has a figure of its own
    found = [
        (r["name"], r["value"] * scale[r["unit"]], bool(r.get("regressed"))) for r in alone if r.get("unit") in scale and r.get("value")
    ]
    if not found:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    made, ax = figure(height=0.9 + 0.27 * len(found))
    for i, (_, value, worse) in enumerate(reversed(found)):
        ax.plot([value], [i], marker="o", markersize=6, color=RED if worse else BLUE)
        ax.annotate(f"{value:.3g}", (value, i), textcoords="offset points", xytext=(8, 0), va="center", fontsize=8)
    ax.set_yticks(range(len(found)), [name for name, *_ in reversed(found)])
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(min(v for _, v, _ in found) / 1.6, max(v for _, v, _ in found) * 2.2)
    ax.set_ylim(-0.6, len(found) - 0.4)
    ax.set_title("Latency")
    ax.set_xlabel("ms (logarithmic)")
    ax.grid(axis="y", visible=False)
    return made


def history(runs: Mapping[tuple[str, str], Sequence[tuple[float, bool]]]) -> "Figure | None":
    """Small multiples, one for each (name, unit) measured twice or more, oldest first; a red point is a regression. None without any."""
    shown = {name: values for name, values in runs.items() if len(values) > 1}
    if not shown:
        return None
    columns = 4
    rows = -(-len(shown) // columns)
    made, axes = figure(rows, columns, height=1.7 * rows, squeeze=False)
    for ax, ((name, unit), values) in zip(axes.flat, shown.items(), strict=False):
        ax.plot(range(len(values)), [v for v, _ in values], color=BLUE, marker="o", markersize=2.5)
        worse = [(i, v) for i, (v, bad) in enumerate(values) if bad]
        ax.plot([i for i, _ in worse], [v for _, v in worse], color=RED, marker="o", markersize=5, linestyle="")
        ax.set_title("\n".join(wrap(name, 38)), fontsize=7)
        ax.set_ylabel(unit, fontsize=7)
        ax.set_ylim(bottom=0)
        ax.set_xticks([])
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    return made
