"""What a benchmark has to say: what has become worse, and how far ahead of the peers."""

from typing import Any

from tasks.wording import Grid, Summary, change, quantity, share


def benchmark(facts: dict[str, Any]) -> Summary:
    rows = facts.get("rows") or []
    slow = [r["name"] for r in rows if r.get("regressed")]
    alone = bool(rows) and all(r.get("median_before") is None for r in rows)
    worse = f"worse than the last runs: {', '.join(slow)}." if slow else "none worse than the last runs."
    worse = "the first on this machine, so there is nothing to compare with." if alone else worse
    headline = f"{len(rows)} measurements; {worse}"
    grid = Grid(
        "Measured", ("what", "value", "spread", "unit", "median before", "change", "better is"),
        [
            (
                r["name"], quantity(r.get("value")), quantity(r.get("spread")), r.get("unit") or "", quantity(r.get("median_before")),
                change(r.get("value"), r.get("median_before")), "higher" if r.get("higher_is_better") else "lower",
            )
            for r in rows
        ],
        frozenset({1, 2, 4, 5}), frozenset(i for i, r in enumerate(rows) if r.get("regressed")),
        "median before: of the last runs on this machine; spread: between five stretches of one measuring. A regression is off the median "
        "by more than the margin of the settings and more than three spreads of those runs, of which there must be three.",
    )  # fmt: skip
    compared = [r for r in rows if r.get("peer")]
    asked = [r for r in rows if r.get("met") is not None]
    figures = [("measurements", str(len(rows))), ("measured as worse", str(len(slow)))]
    if asked:
        figures.append(("targets met", f"{sum(r['met'] for r in asked)} of {len(asked)}"))
    beside = Grid(
        "Beside the peers", ("what", "ours", "best peer", "", "unit", "ratio", "asked", "of limit", "peak MB", "first pass, s"),
        [
            (
                r["name"], quantity(r["value"]), quantity(r["peer_value"]), r["peer"], r["unit"], f"{r['ratio']:.3g}x",
                f"{r['target']:g}x" if r["target"] else "-", share(r["limit_share"]), quantity(r["peak_mb"]), quantity(r["first_s"]),
            )
            for r in compared
        ],
        frozenset({1, 2, 5, 6, 7, 8, 9}), frozenset(i for i, r in enumerate(compared) if r["met"] is False),
        "ours and the best of the peers on the same input in the same run, medians; of limit: share of what the machine can do at all "
        "(docs/performance.md). A marked row misses what was asked of it.",
    )  # fmt: skip
    return Summary(
        headline,
        figures,
        [beside, grid] if compared else [grid],
        [f"{name} has become worse" for name in slow],
    )
