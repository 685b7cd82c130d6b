"""Raw rows made comparable: one clock, one scale, one order; and what a symbol says about its instrument."""

import re

import polars as pl

from core.market import MAX_UNITS
from core.tables import PRICE, TS, Table

DAY_NS = 86_400_000_000_000
LIST = pl.List(pl.Int64)


def timed(frame: pl.LazyFrame, offset_ns: int, max_skew_ns: int) -> pl.LazyFrame:
    """Add the time by which a row is filed: the venue's, or where it gives none or an absurd one, ours plus the file's offset.

    `ts_given` is the venue's, `ts_event` the one to file by, `ts_estimated` whether they differ; `at_recv` is the time of arrival that
    never goes back within the file. `skew` is what is left between the two clocks once the file's offset is taken out: a clock
    that is wrong by days is no reason to drop a row, a row that is days off its neighbours is.
    """
    given, received = pl.col("ts_event"), pl.col("ts_recv")
    skew = (given.to_physical() - received.to_physical() - offset_ns).abs()
    usable = given.is_not_null() & (skew <= max_skew_ns).fill_null(False)
    return frame.with_columns(
        ts_given=given,
        ts_event=pl.when(usable).then(given).otherwise(received + pl.duration(nanoseconds=offset_ns)).cast(TS),
        ts_estimated=~usable,
        skew=skew,
        slack=pl.lit(offset_ns, dtype=pl.Int64),
        at_recv=received.to_physical().cum_max(),
    )


def on_day(start_ns: int) -> pl.Expr:
    event = pl.col("ts_event").to_physical()
    return (event >= start_ns) & (event < start_ns + DAY_NS)


def rescaled(frame: pl.LazyFrame, shape: Table, *, own: tuple[int, int], to: tuple[int, int]) -> pl.LazyFrame:
    """The scaled columns from units of `own` (price, size) decimals in units of `to`, at least as fine; held at +-2^62 beyond."""

    def scaled(column: str, kind: str) -> pl.Expr:
        at = 0 if kind == PRICE else 1
        factor = 10 ** (to[at] - own[at])
        room = 2**62 // factor
        value = pl.element() if shape.columns[column] == LIST else pl.col(column)
        value = value.clip(-room, room) * factor
        return pl.col(column).list.eval(value) if shape.columns[column] == LIST else value

    changed = [scaled(c, k).alias(c) for c, k in shape.scales.items() if own[k != PRICE] != to[k != PRICE]]
    decimals = {"price_decimals": to[0], "size_decimals": to[1]}
    return frame.with_columns(*changed, *(pl.lit(n, dtype=pl.Int8).alias(c) for c, n in decimals.items()))


def limit(value: float, decimals: int) -> int:
    """A limit in units of 10^-decimals; never above what an exact value can be."""
    return int(min(value * 10**decimals, MAX_UNITS))


def as_text(frame: pl.DataFrame, columns: list[str]) -> pl.Series:
    """The typed row as JSON."""
    return frame.select(pl.struct(columns).struct.json_encode().alias("text"))["text"]


QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "TRY", "BTC", "ETH", "BNB")


def told(venue: str, symbol: str) -> dict:
    """Base, quote and settlement currency, and the contract, as far as the symbol tells them; empty where it does not.

    COIN-M contracts are worth 100 USD for BTC and 10 USD else, and are settled in the base asset.
    """
    if venue.endswith("-cm") and (found := re.fullmatch(r"([A-Z0-9]+)USD_(?:PERP|\d{6})", symbol)):
        base = found[1]
        worth = 100.0 if base == "BTC" else 10.0
        return {"base": base, "quote": "USD", "settlement": base, "inverse": True, "contract_multiplier": worth}
    plain = symbol.upper().split("_", maxsplit=1)[0]
    base, _, quote = plain.partition("-")
    if not quote:
        quote = next((q for q in QUOTES if plain.endswith(q) and plain != q), "")
        base = plain.removesuffix(quote) if quote else ""
    return {"base": base, "quote": quote, "settlement": quote, "inverse": False, "contract_multiplier": 1.0}
