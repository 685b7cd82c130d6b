"""A clean day has every raw row in one place, its book from the day before, and nothing to do when nothing changed."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.settings import Quality
from core.store import Part, Store
from core.tables import RAW
from tasks.accounts import AccountError, accounts
from tasks.clean import MARKET, clean_day
from tasks.ingest import after, beside, vanished
from tasks.pieces import days_of
from tasks.raw import About, Rows, Source, write_pieces

S = 1_000_000_000
VENUE, SYMBOL = "binance-usdm", "BTCUSDT"
DAY, NEXT, LATER = date(2024, 8, 8), date(2024, 8, 9), date(2025, 8, 8)
BIDS, ASKS = [(100, 5), (99, 6)], [(102, 5), (103, 6)]


def ns(day: date, seconds: float) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * S + int(seconds * S)


class File:
    """A recording written by hand: rows in the order they are added; our clock is a second behind the venue's."""

    def __init__(self, name: str, day: date) -> None:
        self.name, self.day, self.rows, self.n = name, day, {noun: [] for noun in RAW if noun != "files"}, 0

    def add(self, noun: str, at: float, **columns: Any) -> "File":
        self.n += 1
        event = {"ts_event": ns(self.day, at)} if "ts_event" in RAW[noun].columns else {}
        self.rows[noun].append(event | {"ts_recv": ns(self.day, at - 1), "row": self.n} | columns)
        return self

    def trade(self, at: float, trade_id: int | None, price: int = 101, **columns: Any) -> "File":
        return self.add("trades", at, **{"trade_id": trade_id, "price": price, "size": 2, "side": 1, "order_kind": "MARKET"} | columns)

    def quote(self, at: float, update_id: int, bid: int = 100, ask: int = 102, **columns: Any) -> "File":
        return self.add("quotes", at, **{"update_id": update_id, "bid": bid, "bid_size": 5, "ask": ask, "ask_size": 5} | columns)

    def depth(
        self, at: float, ids: tuple[int | None, int, int | None], bids: list, asks: list, *, snapshot: bool = False, **columns: Any
    ) -> "File":
        first, update, prev = ids
        levels = {"bid_prices": [p for p, _ in bids], "bid_sizes": [s for _, s in bids], "ask_prices": [p for p, _ in asks]}
        levels |= {"ask_sizes": [s for _, s in asks], "is_snapshot": snapshot, "first_id": first, "update_id": update, "prev_id": prev}
        return self.add("depth", at, **levels | columns)

    def snapshot(self, at: float, update: int, bids: list | None = None, asks: list | None = None) -> "File":
        return self.depth(at, (None, update, None), bids or BIDS, asks or ASKS, snapshot=True)

    def diff(self, at: float, last: int, update: int, bids: list | None = None, **columns: Any) -> "File":
        return self.depth(at, (last + 1, update, last), bids or [], [], **columns)

    def refused(self, at: float, reason: str, text: str) -> "File":
        return self.add("refused", at, reason=reason, text=text)

    def write(self, store: Store, sha: str = "") -> dict[str, Any]:
        frames = []
        for noun, rows in self.rows.items():
            own = {k: v for k, v in RAW[noun].columns.items() if k not in ("source", "price_decimals", "size_decimals")}
            plain = {k: pl.Int64 if k.startswith("ts_") else v for k, v in own.items()}
            frame = pl.DataFrame(rows, schema=plain).cast({k: v for k, v in own.items() if k.startswith("ts_")})  # type: ignore[arg-type]
            if frame.height:
                frames.append(Rows(noun, VENUE, SYMBOL, frame))
        source = Source(f"/recorded/{self.name}", (sha or self.name.encode().hex()).ljust(64, "0"), 1)
        return write_pieces(store, source, frames, about={(VENUE, SYMBOL): About(1, 3, S)}, params={"form": 1})


def build(store: Store, day: date, **quality: Any) -> dict[str, Any]:
    return clean_day.fn(store, VENUE, SYMBOL, day, quality=Quality(**quality), keep_levels=20, fees=(2.0, 5.0))


def rows(store: Store, noun: str, day: date) -> pl.DataFrame:
    return store.scan(Part(noun if "__" in noun else f"clean_market__{noun}", VENUE, SYMBOL, day)).collect()


def quarantined(store: Store, day: date) -> list[tuple[str, str]]:
    return [(r["of"], r["reason"]) for r in rows(store, "quarantine_market__rows", day).iter_rows(named=True)]


@pytest.fixture
def recorded(store: Store) -> Mapping[str, Any]:
    """A minute before midnight with a bit of everything, and two seconds of the day after."""
    file = File("a.gz", DAY)
    file.diff(86_340, 5, 9).snapshot(86_341, 10).diff(86_342, 9, 11, [(101, 3)]).quote(86_342.1, 11, bid=101, bid_size=3)
    file.trade(86_343, 1).trade(86_343, 1).trade(86_344, 2, order_kind="INSURANCE_FUND").trade(86_345, 3, price=0)
    file.quote(86_346, 12, bid=103).quote(86_347, 13, bid=102).refused(86_348, "no frame", "{oops")
    file.diff(86_350, 11, 14, [(101, 0)]).trade(86_400.5, 4).diff(86_400.5, 14, 15, [(100, 8)]).quote(86_400.6, 15)
    return file.write(store)


def test_every_row_is_clean_duplicate_or_quarantined(store: Store, recorded: Mapping[str, Any]):
    first, second = build(store, DAY), build(store, NEXT)
    assert (first["trades"], first["quotes"], first["book"]) == (1, 2, 3)
    assert (second["trades"], second["quotes"], second["book"]) == (1, 1, 1)
    assert quarantined(store, DAY) == [
        ("trades", "not a market trade"),
        ("trades", "price or size not positive"),
        ("quotes", "crossed quote"),
        ("frame", "no frame"),
    ]
    (account,) = accounts(store, [recorded])
    assert {k: account[k] for k in ("clean", "duplicate", "quarantined")} == {"clean": 9, "duplicate": 2, "quarantined": 4}
    assert recorded["n_rows"] == 15


def test_quarantine_says_where_the_row_stood_and_what_it_was(store: Store, recorded: Mapping[str, Any]):
    build(store, DAY)
    refused = rows(store, "quarantine_market__rows", DAY)
    assert set(refused["uri"]) == {"/recorded/a.gz"}
    assert refused["row"].to_list() == [7, 8, 9, 11]
    assert '"order_kind": "INSURANCE_FUND"' in refused["text"][0]
    assert refused["text"][3] == "{oops"


def test_accounts_that_do_not_close_name_the_file_and_the_figures(store: Store, recorded: Mapping[str, Any]):
    build(store, DAY)
    with pytest.raises(AccountError, match=r"/recorded/a.gz: 15 rows read, but 6 clean \+ 2 duplicate \+ 4 quarantined = 12"):
        accounts(store, [recorded])


def test_the_book_goes_on_over_midnight_and_is_compared_there(store: Store, recorded: Mapping[str, Any]):
    first, second = build(store, DAY), build(store, NEXT)
    assert (first["compared"], first["different"], first["ends_known"]) == (1, 0, True)
    assert (second["compared"], second["different"], second["sequence_breaks"]) == (1, 1, 0), "bid size 8 is not the quote's 5"
    assert rows(store, "book", NEXT)["bid_prices"].to_list() == [[100, 99]]
    assert rows(store, "quotes", DAY)["locked"].to_list() == [False, True]


def test_a_second_build_does_nothing_and_a_lost_part_is_made_again(store: Store, recorded: Mapping[str, Any]):
    assert build(store, DAY)["changed"]
    content = {name: store.content(Part(name, VENUE, SYMBOL, DAY)) for name in MARKET}
    assert not build(store, DAY)["changed"]
    store.remove(Part("clean_market__book", VENUE, SYMBOL, DAY))
    assert build(store, DAY)["changed"]
    assert {name: store.content(Part(name, VENUE, SYMBOL, DAY)) for name in MARKET} == content
    assert build(store, DAY, max_jump_pct=5)["changed"], "another setting"


def test_a_recording_a_year_later_without_a_snapshot_has_no_book(store: Store, recorded: Mapping[str, Any]):
    File("b.gz", LATER).diff(10, 15, 16, [(100, 1)]).quote(11, 17).trade(12, 9, side=0).write(store)
    assert days_of(store, VENUE, SYMBOL, 86_400) == [DAY, NEXT, LATER]
    build(store, DAY), build(store, NEXT)
    facts = build(store, LATER)
    assert facts["book_known_share"] == 0
    assert "no snapshot" in facts["warnings"][0]
    assert rows(store, "book", LATER)["bid_prices"].to_list() == [None]
    assert rows(store, "top", LATER)["bid"].to_list() == [100], "the quotes still tell the top"
    assert rows(store, "trades", LATER)["side"].to_list() == [0]


def test_a_break_costs_the_book_until_the_next_snapshot(store: Store):
    file = File("a.gz", DAY).snapshot(1, 10).diff(2, 10, 11).diff(3, 12, 13).diff(4, 13, 14).snapshot(5, 14).diff(6, 14, 15)
    recorded = file.write(store)
    facts = build(store, DAY)
    assert (facts["sequence_breaks"], facts["snapshots"], facts["last_update_id"]) == (1, 2, 15)
    assert rows(store, "book", DAY)["known"].to_list() == [True, True, False, False, True, True]
    assert rows(store, "top", DAY)["bid"].to_list() == [100, 100, None, 100, 100]
    assert rows(store, "top", DAY)["age_ns"].to_list() == [None, S, S, 2 * S, S]
    assert "1 sequence breaks" in facts["warnings"][0]
    accounts(store, [recorded])


def test_breaks_are_counted_over_midnight_known_book_or_not(store: Store):
    file = File("a.gz", DAY).snapshot(1, 10).diff(2, 10, 11).diff(3, 12, 13).diff(86_390, 13, 14)
    receipt = file.diff(86_400.5, 14, 15).diff(86_401, 16, 17).write(store)
    first, second = build(store, DAY), build(store, NEXT)
    assert (first["sequence_breaks"], second["sequence_breaks"]) == (1, 1)
    assert not build(store, NEXT)["changed"]
    accounts(store, [receipt])


def lost(file: File) -> File:
    return file.snapshot(1, 10).diff(2, 11, 12)


@pytest.mark.parametrize(
    ("file", "days", "said"),
    [
        (File("a.gz", DAY).diff(1, 10, 11).diff(2, 11, 12), [DAY], "no snapshot, the book stays unknown"),
        (File("a.gz", DAY).snapshot(1, 10, [(104, 1)]).diff(2, 10, 11), [DAY], "1 crossed books, the book is known for 0.0% of its rows"),
        (lost(File("a.gz", DAY)).diff(86_401, 12, 13), [DAY, NEXT], "the book was lost the day before and no snapshot has come since"),
        (
            File("a.gz", DAY).diff(86_398, 10, 11).snapshot(86_401, 11),
            [DAY],
            "its diffs, all of the last seconds before midnight, wait for a snapshot of the next day",
        ),
    ],
    ids=["no snapshot", "crossed", "lost the day before", "before midnight"],
)
def test_an_unknown_book_says_why(store: Store, file: File, days: list[date], said: str):
    file.write(store)
    facts = [build(store, day) for day in days][-1]
    assert facts["warnings"] == [f"{VENUE}/{SYMBOL} {days[-1]}: {said}"]
    assert facts["book_known_share"] == 0


@pytest.mark.parametrize(
    ("bids", "reason"),
    [([(100, -1)], "negative size"), ([(0, 1)], "price or size not positive"), ([(10**12, 1)], "absurd price or size")],
    ids=["negative size", "price 0", "absurd"],
)
def test_a_diff_that_cannot_be_is_refused_and_breaks_the_sequence(store: Store, bids: list, reason: str):
    recorded = File("a.gz", DAY).snapshot(1, 10).diff(2, 10, 11, bids).diff(3, 11, 12).write(store)
    facts = build(store, DAY)
    assert quarantined(store, DAY) == [("depth", reason)]
    assert (facts["sequence_breaks"], facts["ends_known"]) == (1, False)
    accounts(store, [recorded])


def test_a_crossed_book_is_refused_and_unknown_from_then_on(store: Store):
    recorded = File("a.gz", DAY).snapshot(1, 10).diff(2, 10, 11, [(103, 1)]).diff(3, 11, 12).write(store)
    facts = build(store, DAY)
    assert quarantined(store, DAY) == [("depth", "crossed book")]
    assert (facts["ends_known"], facts["book_known_share"]) == (False, 0.5)
    accounts(store, [recorded])


def test_whole_books_need_no_ids_and_a_repeated_one_is_a_duplicate(store: Store):
    file = File("a.gz", DAY)
    for at, bid in ((1, 100), (1, 100), (2, 101), (3, 104), (4, 102), (4, 102)):
        file.depth(at, (None, None, None), [(bid, 1)], ASKS, snapshot=True)  # type: ignore[arg-type]
    recorded = file.write(store)
    facts = build(store, DAY)
    assert rows(store, "book", DAY)["bid_prices"].to_list() == [[100], [101], [102]]
    assert quarantined(store, DAY) == [("depth", "crossed book")]
    assert facts["book_known_share"] == 1.0
    (account,) = accounts(store, [recorded])
    assert (account["clean"], account["duplicate"], account["quarantined"]) == (3, 2, 1)
    assert rows(store, "book", DAY)["locked"].to_list() == [False, False, True]


def test_two_recordings_of_one_day_are_one_day(store: Store):
    one, two = File("a.gz", DAY).snapshot(1, 10), File("b.gz", DAY)
    for file in (one, two):
        for n in range(3):
            file.diff(2 + n, 10 + n, 11 + n, [(100, 1 + n)]).trade(2 + n, n).quote(2.5 + n, 11 + n)
    two.trade(9, 9)
    receipts = [one.write(store), two.write(store)]
    facts = build(store, DAY)
    assert (facts["trades"], facts["quotes"], facts["book"], facts["sequence_breaks"]) == (4, 3, 4, 0)
    assert [a["duplicate"] for a in accounts(store, receipts)] in ([0, 9], [9, 0])


def test_a_price_jump_is_refused_and_small_disorder_sorted(store: Store):
    File("a.gz", DAY).trade(10, 1).trade(11, 2, price=1000).trade(13, 3).trade(12, 4, ts_recv=ns(DAY, 12.5)).trade(4, 5).write(store)
    build(store, DAY)
    assert rows(store, "trades", DAY)["trade_id"].to_list() == [1, 4, 3]
    assert quarantined(store, DAY) == [("trades", "price jump"), ("trades", "out of order")]
    facts = store.lineage(Part("clean_market__trades", VENUE, SYMBOL, DAY)).facts  # type: ignore[union-attr]
    assert (facts["disordered"], facts["id_gaps"]) == (1, 0)


def test_finer_pieces_beside_coarser_ones_share_the_finer_scale(store: Store, tmp_path: Path):
    File("a.gz", DAY).snapshot(1, 10).trade(2, 1).write(store)
    build(store, DAY)
    frame = pl.DataFrame(
        {"ts_recv": [ns(NEXT, 1)], "ts_event": [ns(NEXT, 1)], "is_snapshot": [False], "first_id": [11], "update_id": [11], "prev_id": [10]}
    )
    levels = {"bid_prices": [[10_005]], "bid_sizes": [[7]], "ask_prices": [[]], "ask_sizes": [[]], "row": [1]}
    finer = frame.with_columns(pl.col("ts_recv", "ts_event").cast(pl.Datetime("ns", "UTC")), **{k: pl.Series(v) for k, v in levels.items()})
    source = Source("/recorded/b.gz", "b" * 64, 1)
    write_pieces(store, source, [Rows("depth", VENUE, SYMBOL, finer)], about={(VENUE, SYMBOL): About(3, 3, 0)}, params={"form": 1})
    build(store, NEXT)
    book = rows(store, "book", NEXT)
    assert book["bid_prices"].to_list() == [[10_005, 10_000, 9_900]]
    assert book["price_decimals"].to_list() == [3]
    assert rows(store, "instruments", NEXT)["tick_size"].to_list() == [0.001]


def test_the_instrument_of_the_day_is_told(store: Store, recorded: Mapping[str, Any]):
    build(store, DAY)
    row = rows(store, "instruments", DAY).row(0, named=True)
    assert (row["tick_size"], row["lot_size"], row["base"], row["settlement"]) == (0.1, 0.001, "BTC", "USDT")
    assert (row["maker_bps"], row["taker_bps"]) == (2.0, 5.0)


def test_a_day_whose_raw_rows_are_gone_is_kept_and_said_so(store: Store, recorded: Mapping[str, Any]):
    build(store, DAY)
    for table in store.tables():
        if table.startswith("raw_"):
            for part in store.parts(table):
                store.remove(part)
    facts = build(store, DAY)
    assert not facts["changed"]
    assert "raw rows are gone" in facts["warnings"][0]
    assert vanished(store, VENUE, SYMBOL) == [facts["warnings"][0].replace("kept", "kept as it is")]
    assert rows(store, "trades", DAY).height == 1


def test_a_changed_day_has_the_next_one_looked_at(store: Store, recorded: Mapping[str, Any]):
    first = build(store, DAY)
    assert after(store, [], first) == []
    build(store, NEXT)
    assert after(store, [], first) == [NEXT]
    assert after(store, [], first | {"changed": False}) == []
    assert beside(store, VENUE, SYMBOL, [NEXT]) == [DAY, NEXT]
