"""What each stage has to say, in words and in tables: the report and the pages of the orchestrator show the same."""

from collections.abc import Callable
from typing import Any

from core.market import GENERATED
from core.runs import Stage
from tasks import plots
from tasks.summary_bench import benchmark
from tasks.wording import STATISTICS, Grid, Summary, counted, err, flat, num, sentence, share, signed

UNCHANGED = "Nothing new: everything was up to date."
VERDICTS = {
    "too little data to judge": "There is too little data to judge the model.",
    "loses after cost": "The model loses money after cost.",
    "beats the baselines after cost": "The model beats every baseline after cost.",
    "not better than the baselines": "The model is not better than the baselines after cost, as far as can be shown.",
}


def summary(stage: Stage) -> Summary:
    """The stage's summary; a stage that did no work says so and still shows what there is."""
    made = MAKERS[stage.name](stage.facts)
    headline = f"{UNCHANGED} {made.headline}" if not stage.changed else made.headline
    return Summary(headline, made.figures, made.grids, list(dict.fromkeys([*made.warnings, *stage.warnings])))


def is_generated(stages: dict[str, Stage]) -> bool:
    """Whether any stage worked on the built-in market."""
    facts = [stage.facts for stage in stages.values()]
    rows = [row for f in facts for key in ("files", "days") for row in f.get(key) or []]
    return any(f.get("generated") for f in facts) or any(row.get("venue") == GENERATED for row in rows)


def ingest(facts: dict[str, Any]) -> Summary:
    files, days = facts.get("files") or [], facts.get("days") or []
    total = {k: sum(f.get(k) or 0 for f in files) for k in ("rows", "clean", "duplicate", "quarantined")}
    closed = total["rows"] == total["clean"] + total["duplicate"] + total["quarantined"]
    compared, different = (sum(d.get(k) or 0 for d in days) for k in ("compared", "different"))
    instruments = sorted({f"{d['venue']} {d['symbol']}" for d in days})
    read = [f for f in files if not f.get("skipped")]
    headline = f"{counted(len(files), 'file')}, {counted(total['rows'], 'row')}: {num(total['clean'])} clean, "
    headline += f"{num(total['duplicate'])} duplicate, {num(total['quarantined'])} quarantined."
    if compared:
        headline += f" {num(compared)} book comparisons, " + ("all equal." if not different else f"{num(different)} different.")
    warnings = [f["error"] if f["name"] in f["error"] else f"{f['name']}: {f['error']}" for f in files if f.get("error")]
    if not closed:
        warnings.append("the row accounting does not close: rows read differ from clean + duplicate + quarantined")
    figures = [
        ("instruments", instruments[0] if len(instruments) == 1 else str(len(instruments))),
        ("days", str(len({d["day"] for d in days}))),
        ("rows read", num(total["rows"])),
        ("quarantined", num(total["quarantined"])),
        ("files read anew", f"{len(read)} of {len(files)}"),
    ]
    rows = [
        (
            f["name"],
            f"{f.get('venue')} {f.get('symbol')}",
            num(f.get("rows")),
            num(f.get("clean")),
            num(f.get("duplicate")),
            num(f.get("quarantined")),
            num(f.get("clock_offset_ms"), 1),
            f.get("error") or ("known already" if f.get("skipped") else "sound"),
        )
        for f in files
    ]
    unequal = {
        i
        for i, f in enumerate(files)
        if f.get("error") or (f.get("rows") or 0) != sum(f.get(k) or 0 for k in ("clean", "duplicate", "quarantined"))
    }
    reasons: dict[str, int] = {}
    for f in files:
        for reason, n in (f.get("by_reason") or {}).items():
            reasons[reason] = reasons.get(reason, 0) + n
    grids = [
        Grid(
            "Files", ("file", "instrument", "rows read", "clean", "duplicate", "quarantined", "clock offset, ms", "state"), rows,
            frozenset(range(2, 7)), frozenset(unequal),
            "rows read = clean + duplicate + quarantined; clock offset: the median of the venue's time less ours: above zero, our clock "
            "ran behind",
        ),
        Grid(
            "Days", ("instrument", "day", "trades", "quotes", "book rows", "marks", "compared", "different", "breaks", "book known"),
            [
                (
                    f"{d['venue']} {d['symbol']}", d["day"],
                    *(num(d.get(k)) for k in ("trades", "quotes", "book", "marks", "compared", "different", "sequence_breaks")),
                    share(d.get("book_known_share")),
                )
                for d in days
            ],
            frozenset(range(2, 10)), frozenset(i for i, d in enumerate(days) if d.get("different") or d.get("sequence_breaks")),
            "compared: best bid and ask of the rebuilt book against the venue's own with the same update id; breaks: lost book messages; "
            "book known: share of the book's rows since a snapshot",
        ),
    ]  # fmt: skip
    if reasons:
        ordered = sorted(reasons.items(), key=lambda item: -item[1])
        grids.insert(1, Grid("Quarantined rows by reason", ("reason", "rows"), [(r, num(n)) for r, n in ordered], frozenset({1})))
    return Summary(headline, figures, grids, warnings)


def features(facts: dict[str, Any]) -> Summary:
    days, names = facts.get("days") or [], facts.get("features") or []
    rows, complete = (sum(d.get(k) or 0 for d in days) for k in ("rows", "complete_rows"))
    labels = {k: sum((d.get("labels") or {}).get(k, 0) for d in days) for k in ("down", "flat", "up")}
    labelled = sum(labels.values())
    headline = f"{len(names)} features over {num(rows)} seconds, {share(complete / rows if rows else None)} of them complete."
    figures = [
        ("features", str(len(names))),
        ("seconds of features", num(rows)),
        ("complete seconds", share(complete / rows if rows else None)),
        ("labels down / flat / up", " / ".join(share(v / labelled if labelled else None, 0) for v in labels.values())),
    ]
    grid = Grid(
        "Days", ("instrument", "day", "bars", "seconds", "complete", "feed gaps", "late trades", "down", "flat", "up"),
        [
            (
                f"{d['venue']} {d['symbol']}", d["day"], num(d.get("bars")), num(d.get("rows")),
                share(d["complete_rows"] / d["rows"] if d.get("rows") and d.get("complete_rows") is not None else None),
                num(d.get("gaps")), num(d.get("late_trades")), *(num((d.get("labels") or {}).get(k)) for k in ("down", "flat", "up")),
            )
            for d in days
        ],
        frozenset(range(2, 10)), note="bars: seconds with a trade; complete: no feature is null; down, flat, up: triple-barrier labels",
    )  # fmt: skip
    return Summary(headline, figures, [grid])


def verdict(facts: dict[str, Any]) -> str:
    """The verdict in plain words, with the numbers it stands on."""
    said = str(facts.get("verdict") or "")
    words = VERDICTS.get(said, f"{said[:1].upper()}{said[1:]}." if said else "There is no verdict.")
    model = (facts.get("scores") or {}).get("model") or {}
    n, mean = model.get("n_trades"), model.get("mean_net_bps")
    if n and mean is not None:
        words += (
            f" Over {counted(n, 'trade')} of the test part it {'loses' if mean < 0 else 'makes'} {num(abs(mean), 2)} bps a trade after cost"
        )
        low, high = model.get("ci_low_bps"), model.get("ci_high_bps")
        if low is not None and n >= 10:
            luck = "; zero is inside, so this may be chance" if low < 0 < (high or 0) else ""
            words += f" (95 % interval {signed(low)} to {signed(high)}{luck})"
        words += "."
    elif n == 0:
        words += " It did not trade at all in the test part."
    if (effective := facts.get("effective_samples")) is not None:
        words += f" That rests on {num(effective)} effectively independent samples: labels that overlap in time count in part."
    return words


def train(facts: dict[str, Any]) -> Summary:
    scores = facts.get("scores") or {}
    everyone = {"model": scores.get("model") or {}} | (scores.get("baselines") or {})
    rows = [
        (
            name, share(s.get("accuracy")), num(s.get("n_trades")), signed(s.get("gross_bps"), 1), signed(s.get("net_bps"), 1),
            signed(s.get("mean_net_bps")) if s.get("n_trades") else "-",
            f"{signed(s.get('ci_low_bps'))} to {signed(s.get('ci_high_bps'))}" if (s.get("n_trades") or 0) >= 10 else "-",
            f"{signed(s['lead_bps'], 1)} ({signed(s['lead_low_bps'], 1)} to {signed(s['lead_high_bps'], 1)})" if "lead_bps" in s else "-",
        )
        for name, s in everyone.items()
    ]  # fmt: skip
    grid = Grid(
        "The model beside its baselines, on the test part",
        (
            "who", "right", "trades", "gross, bps", "after cost, bps", "a trade after cost, bps", "95 % interval, bps",
            "the model is ahead by, bps (95 %)",
        ),
        rows, frozenset(range(1, 8)),
        note="right: windows whose direction (down, flat, up) was told; one position at a time; bps: hundredths of a percent of notional; "
        "intervals are from a block bootstrap. Evidence is a result a trade and a lead over every baseline with intervals above zero.",
    )  # fmt: skip
    split = " / ".join(num(facts.get(f"n_{part}")) for part in ("train", "validation", "calibration", "test"))
    figures = [
        ("version", str(facts.get("version_id") or "-")),
        ("train / validation / calibration / test windows", split),
        ("epochs / the one kept", f"{num(facts.get('epochs'))} / {num(plots.best_epoch(facts.get('curves') or {}))}"),
        ("calibration error", share(facts.get("calibration_error"))),
        ("effective samples", num(facts.get("effective_samples"))),
    ]
    return Summary(verdict(facts), figures, [grid])


def deploy(facts: dict[str, Any]) -> Summary:
    alias, by = facts.get("alias") or "nothing", facts.get("served_by") or "nothing"
    latency = facts.get("latency_ms") or {}
    version = facts.get("version") if facts.get("version") is not None else "-"
    headline = f"Version {version} is served as {alias} by {'Triton' if by == 'triton' else by}"
    headline += ": it answers, and nothing is to trade on its answers." if alias == "shadow" else "."
    if facts.get("reason"):
        headline += f" {sentence(facts['reason'])}"
    figures = [
        ("version", str(version)),
        ("served as", str(alias)),
        ("served before", f"version {facts['previous']}" if facts.get("previous") else "none"),
        ("latency of one window, p50 / p99", f"{num(latency.get('p50'), 2)} / {num(latency.get('p99'), 2)} ms"),
        ("largest error, ONNX to torch / served to ONNX", f"{err(facts.get('max_error_export'))} / {err(facts.get('max_error_served'))}"),
    ]
    steps = facts.get("steps") or []
    grids = []
    if steps:
        rows = [(str(s.get("step")), "done" if s.get("ok") else "failed", str(s.get("detail") or "")) for s in steps]
        bad = frozenset(i for i, s in enumerate(steps) if not s.get("ok"))
        note = "Everything above the step `switch` can fail without touching what is served; old versions are retired after it."
        grids.append(Grid("Prove, switch, retire", ("step", "result", "what was seen"), rows, marks=bad, note=note.replace("`", "")))
    if statistics := facts.get("statistics") or {}:
        told = {STATISTICS.get(key, key): value for key, value in statistics.items() if key != "by_batch"}
        for size, of in (statistics.get("by_batch") or {}).items():
            told[f"batches of {size}"] = of.get("executions")
            told[f"computing, µs a batch of {size}"] = of.get("compute_infer_us")
        note = "What Triton itself counted while the version was proven, its warm-up left out; times are means."
        grids.append(Grid("Triton's own statistics", ("what", "value"), flat(told), frozenset({1}), note=note))
    return Summary(headline, figures, grids)


MAKERS: dict[str, Callable[[dict[str, Any]], Summary]] = {
    "ingest": ingest, "features": features, "train": train, "deploy": deploy, "benchmark": benchmark,
}  # fmt: skip
