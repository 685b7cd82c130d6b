"""What is refused at the door, check by check: masks over rows in order of arrival.

Frames come from `kernels.clean.timed`: `ts_event` is filled (`ts_estimated` where it was), `skew` is |ts_event - ts_recv - offset|, `slack`
the venue's clock against ours in that file. Nulls never refuse a row.
"""

import numpy as np
import polars as pl
from numba import njit

NEW_LEVEL = 3  # this many refused trades in a row that agree with each other are the new level
SEED = 5  # the first level is the median of so many trades, so that a bad first print does not set it

DUPLICATE = "duplicate"
NOT_POSITIVE = "price or size not positive"
ABSURD = "absurd price or size"
CLOCK = "absurd time"
NOT_MARKET = "not a market trade"
LATE = "out of order"
JUMP = "price jump"
CROSSED_QUOTE = "crossed quote"
CROSSED_BOOK = "crossed book"
NO_ID = "diff without update id"
NEGATIVE = "negative size"


def rises(column: pl.Series) -> bool:
    """Whether every value is there and above the one before it, so that none is there twice."""
    values = column.to_numpy() if not column.null_count() else None
    return values is not None and bool((values[1:] > values[:-1]).all())


def none_of(frame: pl.DataFrame) -> pl.Series:
    return pl.Series(np.zeros(frame.height, np.bool_))


def one_source(frame: pl.DataFrame) -> bool:
    source = frame["source"]
    return source.min() == source.max()


def duplicate_trades(frame: pl.DataFrame) -> pl.Series:
    """A trade whose id was there before; without ids, a row equal to one before in everything, both times included."""
    if rises(frame["trade_id"]):
        return none_of(frame)
    if not frame["trade_id"].null_count():
        return ~frame["trade_id"].is_first_distinct()
    rest = ("ts_event", "ts_recv", "price", "size", "side", "order_kind")
    same = pl.struct("trade_id", *(pl.when(pl.col("trade_id").is_null()).then(pl.col(c)).alias(c) for c in rest))
    return frame.select(same.alias("same"))["same"].is_first_distinct().not_()


def duplicate_rows(frame: pl.DataFrame, columns: list[str], unless_id: str | None = None) -> pl.Series:
    """A row equal to one before in `columns` and, where it has no `unless_id`, in both times."""
    if rises(frame[unless_id or "ts_recv"].to_physical()):
        return none_of(frame)
    times = [pl.col(c) if unless_id is None else pl.when(pl.col(unless_id).is_null()).then(pl.col(c)) for c in ("ts_event", "ts_recv")]
    return (
        frame.select(pl.struct(*columns, *(t.alias(f"_{i}") for i, t in enumerate(times))).alias("same"))["same"].is_first_distinct().not_()
    )


def duplicate_diffs(frame: pl.DataFrame) -> pl.Series:
    """A diff whose three ids were there before."""
    if rises(frame["update_id"]):
        return none_of(frame)
    same = frame.select(same=pl.struct("is_snapshot", "first_id", "update_id", "prev_id"))["same"]
    return ~same.is_first_distinct() & ~frame["is_snapshot"]


def not_positive(*columns: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(c) <= 0 for c in columns).fill_null(False)


def above(limits: dict[str, int]) -> pl.Expr:
    """Any column above its limit (in units of the column)."""
    return pl.any_horizontal(pl.col(c) > limit for c, limit in limits.items()).fill_null(False)


def clock_skewed(max_ns: int) -> pl.Expr:
    return (pl.col("skew") > max_ns).fill_null(False)


def not_market() -> pl.Expr:
    """`X` of USD-M trades: insurance fund, auto-deleveraging and the like are no prints of the market."""
    return (pl.col("order_kind") != "MARKET").fill_null(False)


def crossed() -> pl.Expr:
    return (pl.col("bid") > pl.col("ask")).fill_null(False)


def locked() -> pl.Expr:
    return (pl.col("bid") == pl.col("ask")).fill_null(False)


def out_of_order(max_ns: int) -> pl.Expr:
    """A row older than one before it, of the same source, by more than `max_ns`.

    What a row ahead of its time says of the clock is bounded by when it was received: it cannot refuse all that follow.
    """
    given = pl.struct(pl.col("ts_event", "ts_recv").to_physical(), "slack", "source")
    return given.map_batches(lambda rows: _out_of_order(rows, max_ns), return_dtype=pl.Boolean)


@njit(cache=True, nogil=True)
def _late(event, recv, slack, source, max_ns, latest, late):
    for i in range(len(event)):
        late[i] = event[i] < latest[source[i]] - max_ns
        latest[source[i]] = max(latest[source[i]], min(event[i], recv[i] + slack[i]))


def _out_of_order(rows: pl.Series, max_ns: int) -> pl.Series:
    found = rows.struct.unnest()
    event, recv, slack = (found[c].to_numpy() for c in ("ts_event", "ts_recv", "slack"))
    source, late = found["source"].cast(pl.Int64).to_numpy(), np.zeros(len(rows), np.bool_)
    latest = np.full(int(source.max(initial=0)) + 1, -(2**62))
    _late(event, recv, slack, source, max_ns, latest, late)
    return pl.Series(late)


def disordered() -> pl.Expr:
    """A row older than the one before it: sorted into place, and counted."""
    return (pl.col("ts_event") < pl.col("ts_event").shift(1)).fill_null(False)


@njit(cache=True, nogil=True)
def _jumps(price, level, share, refused):
    run, candidate = 0, 0
    for i in range(len(price)):
        if abs(price[i] - level) <= share * level:
            level, run = price[i], 0
        elif run and abs(price[i] - candidate) <= share * candidate:
            run += 1
            if run >= NEW_LEVEL:
                level, run = price[i], 0
            else:
                refused[i] = True
        else:
            run, candidate = 1, price[i]
            refused[i] = True


def jumps(price: np.ndarray, max_pct: float) -> np.ndarray:
    """Trades further than `max_pct` from the last accepted price.

    After `NEW_LEVEL` of them in a row that lie within `max_pct` of the first of them the level has moved: the last of these is
    accepted, the ones before stay refused.
    """
    refused = np.zeros(len(price), np.bool_)
    if len(price):
        _jumps(price, int(np.median(price[:SEED])), max_pct / 100.0, refused)
    return refused


def id_gaps(trade_id: pl.Series) -> tuple[int, int]:
    """How often the ids skip, and how many ids are missing. Counted, not refused."""
    ids = trade_id.drop_nulls()
    skips = np.diff(ids.to_numpy() if rises(ids) else ids.unique().sort().to_numpy()) - 1
    return int((skips > 0).sum()), int(skips.sum())


def first_reason(checks: dict[str, pl.Expr]) -> pl.Expr:
    """The reason of the first check that finds fault with the row, else null."""
    return pl.coalesce([pl.when(mask).then(pl.lit(reason)) for reason, mask in checks.items()])
