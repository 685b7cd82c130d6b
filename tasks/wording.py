"""How numbers and tables are worded, the same wherever a run is shown."""

from dataclasses import dataclass, field
from math import isnan
from typing import Any

STATISTICS = {  # Triton's name -> ours
    "requests": "requests answered",
    "failed": "requests failed",
    "inferences": "windows answered",
    "executions": "batches executed",
    "queue_us": "waiting in the queue, µs a request",
    "compute_input_us": "handing the input over, µs a request",
    "compute_infer_us": "computing, µs a request",
    "compute_output_us": "handing the output over, µs a request",
    "total_us": "in all, µs a request",
}


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts. `marks` names rows (by number) that want a second look; `numeric` columns are set flush right."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: frozenset[int] = frozenset()
    marks: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """A stage in one sentence, its key figures (name, value) and its tables."""

    headline: str
    figures: list[tuple[str, str]] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def none(value: Any) -> bool:
    """No value, or not a number."""
    return value is None or (isinstance(value, float) and isnan(value))


def num(value: Any, digits: int = 0, unit: str = "") -> str:
    """A number as a person reads it; `-` for none."""
    if none(value):
        return "-"
    text = f"{value:,.{digits}f}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return f"{text} {unit}" if unit else text


def share(value: Any, digits: int = 1) -> str:
    return "-" if none(value) else f"{value:.{digits}%}"


def signed(value: Any, digits: int = 2) -> str:
    return "-" if none(value) else f"{value:+,.{digits}f}".replace("-", "−")


def counted(n: int, what: str) -> str:
    """`1 trade`, `2,000 trades`."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def span(names: list[str]) -> str:
    """One name, or how many."""
    unique = sorted(set(names))
    return unique[0] if len(unique) == 1 else f"{len(unique)} of them" if unique else "none"


def sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def err(value: Any) -> str:
    return "-" if value is None else f"{value:.1e}" if value else "0"


def quantity(value: Any) -> str:
    """Four digits that matter, thousands set apart."""
    if none(value):
        return "-"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"


def change(value: Any, before: Any) -> str:
    return "-" if value is None or not before else f"{100 * (value / before - 1):+.1f} %".replace("-", "−")


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """A tree of JSON values as (path, text) rows."""
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in flat(inner, f"{name} {key}".strip())]
    if isinstance(value, list):
        return [row for i, inner in enumerate(value) for row in flat(inner, f"{name} {i}".strip())]
    return [(name.replace("_", " "), quantity(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value))]
