"""A day's trades, quotes and marks, sifted: repeated rows are counted, refused ones go to quarantine, the rest is clean."""

from typing import Any, NamedTuple

import polars as pl

from core.market import NS
from core.settings import Quality
from core.tables import RAW
from kernels import quality as checks
from kernels.clean import DAY_NS, limit
from tasks.accounts import CLEAN, DUPLICATE, Account

TOP = ["bid", "bid_size", "ask", "ask_size"]
MARKS = ["mark_e8", "index_e8", "settle_e8", "funding_rate", "ts_funding"]


class Judge(NamedTuple):
    """What the rows of one day are held to. `decimals` are the day's, of price and size."""

    account: Account
    quality: Quality
    decimals: tuple[int, int]
    start: int  # midnight in which the day begins, ns

    def trades(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Any]]:
        """The clean trades by (ts_event, trade_id), and what is worth knowing of them."""
        if not rows.height:
            return rows, {"n": 0, "disordered": 0, "id_gaps": 0, "ids_missing": 0}
        gaps, missing = checks.id_gaps(rows["trade_id"])
        reasons = {
            checks.NOT_POSITIVE: checks.not_positive("price", "size"),
            checks.ABSURD: checks.above(self.limits("price", "size")),
            checks.CLOCK: self.clock(),
            checks.NOT_MARKET: checks.not_market(),
            checks.LATE: self.late(),
        }
        rows = self.sift("trades", rows, checks.duplicate_trades(rows), reasons)
        jumped = checks.jumps(rows["price"].to_numpy(), self.quality.max_jump_pct)
        if jumped.any():
            rows = self.keep("trades", rows.with_columns(reason=pl.when(pl.Series(jumped)).then(pl.lit(checks.JUMP))))
        self.account.count(rows, CLEAN)
        disordered = int(rows.select(checks.disordered().sum()).item())
        facts = {"n": rows.height, "disordered": disordered, "id_gaps": gaps, "ids_missing": missing}
        if disordered or not rows["trade_id"].is_sorted():
            rows = rows.sort("ts_event", "trade_id", maintain_order=True)
        return rows, facts

    def quotes(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The clean quotes in order of arrival, and all that a book can be compared with.

        `rows` may reach beyond the day: those outside are only compared.
        """
        twice = checks.duplicate_rows(rows, ["update_id", *TOP], "update_id")
        comparable = rows.select("update_id", *TOP)
        if twice.any() or comparable["update_id"].null_count():
            comparable = comparable.filter(~twice & comparable["update_id"].is_not_null())
        event = rows["ts_event"].to_physical()
        mine = (event >= self.start) & (event < self.start + DAY_NS)
        reasons = {
            checks.NOT_POSITIVE: checks.not_positive(*TOP),
            checks.ABSURD: checks.above(self.limits("bid", "bid_size") | self.limits("ask", "ask_size")),
            checks.CLOCK: self.clock(),
            checks.CROSSED_QUOTE: checks.crossed(),
            checks.LATE: self.late(),
        }
        if not mine.all():
            rows, twice = rows.filter(mine), twice.filter(mine)
        rows = self.sift("quotes", rows, twice, reasons)
        self.account.count(rows, CLEAN)
        return rows.with_columns(known_at="ts_recv", locked=checks.locked()), comparable

    def marks(self, rows: pl.DataFrame) -> pl.DataFrame:
        if not rows.height:
            return rows
        reasons = {checks.NOT_POSITIVE: checks.not_positive("mark_e8"), checks.CLOCK: self.clock(), checks.LATE: self.late()}
        rows = self.sift("marks", rows, checks.duplicate_rows(rows, ["ts_given", *MARKS]), reasons)
        self.account.count(rows, CLEAN)
        return rows.sort("ts_event", maintain_order=True)

    def sift(self, noun: str, rows: pl.DataFrame, twice: pl.Series, reasons: dict[str, pl.Expr]) -> pl.DataFrame:
        """Repeated rows away, then those that fail a check; the first that fails is the reason."""
        if twice.any():
            self.account.count(rows.filter(twice), DUPLICATE)
            rows = rows.filter(~twice)
        if not rows.select(pl.any_horizontal(*reasons.values()).any()).item():
            return rows
        return self.keep(noun, rows.with_columns(reason=checks.first_reason(reasons)))

    def keep(self, noun: str, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows without a reason; the others go to quarantine."""
        bad = rows["reason"].is_not_null()
        if not bad.any():
            return rows
        self.account.refuse(rows.filter(bad), noun, RAW[noun].columns)
        return rows.filter(~bad)

    def limits(self, price: str, size: str) -> dict[str, int]:
        return {price: limit(self.quality.max_price, self.decimals[0]), size: limit(self.quality.max_size, self.decimals[1])}

    def clock(self) -> pl.Expr:
        return checks.clock_skewed(int(self.quality.max_clock_skew_s * NS))

    def late(self) -> pl.Expr:
        return checks.out_of_order(int(self.quality.out_of_order_s * NS))
