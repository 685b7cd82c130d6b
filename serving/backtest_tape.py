"""What a backtest plays: a recording, the generated market, or the lake's raw rows written again as the frames that they came from.

    recording | generator | raw trades, quotes, depth, marks -> frames in order of receipt, and the listing they tell of

The raw rows of the lake are what was received, typed and exact, so the frames made of them decode to the same events.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from core.market import NS
from core.orders import Listing
from core.store import Store
from core.tables import raw_table
from kernels import generator
from serving.simulated import Frame
from serving.venue_tape import SAMPLE, Tape, TapeError, generated, listed, recorded
from serving.venue_tape import Frame as Taped

STEP = timedelta(minutes=10)  # of the lake, read at a time
MS = 1_000_000
NOUNS = ("trades", "quotes", "depth", "marks")
Fees = Mapping[str, tuple[float, float]]


class Market(NamedTuple):
    """One symbol. `frames` begins anew each time; `begin` is when the first is received, ns."""

    venue: str
    listing: Listing
    begin: int
    frames: Callable[[], Iterator[Frame]]
    source: str
    generated: bool = False


def of_recording(path: Path, symbol: str, fees: Fees) -> Market:
    """Raises `TapeError`."""
    tape = recorded(path, "auto", fees)
    return _of(tape, _chosen(tape, symbol), str(path))


def of_generator(market: generator.Market, seed: int, begin: int, minutes: float, fees: Fees) -> Market:
    tape = generated([market], seed, begin, fees)
    until = begin + round(minutes * 60 * NS)
    made = _of(tape, market.symbol, f"generated market, seed {seed}, {minutes:g} min")

    def frames() -> Iterator[Frame]:
        for frame in made.frames():
            if frame.ts_recv >= until:
                return
            yield frame

    return made._replace(frames=frames, generated=True)


def _chosen(tape: Tape, symbol: str) -> str:
    if symbol and symbol not in tape.listings:
        raise TapeError(f"{tape.source} has no {symbol}; it has {', '.join(sorted(tape.listings))}")
    if not symbol and len(tape.listings) > 1:
        raise TapeError(f"{tape.source} has {', '.join(sorted(tape.listings))}: say which with --symbol")
    return symbol or next(iter(tape.listings))


def _of(tape: Tape, symbol: str, source: str) -> Market:
    def frames() -> Iterator[Frame]:
        return (frame_of(frame) for frame in tape.frames() if frame.symbol == symbol)

    first = next(frames(), None)
    if first is None:
        raise TapeError(f"{source} has no frame of {symbol}")
    return Market(f"binance-{tape.kind}", tape.listings[symbol], first.ts_recv, frames, source)


def frame_of(taped: Taped) -> Frame:
    """As it was received: in the envelope of a combined stream, or a bare snapshot."""
    if not taped.stream:
        return Frame(taped.ts, taped.data)
    return Frame(taped.ts, b'{"stream":"%b","data":%b}' % (taped.stream.encode(), taped.data))


# The lake


def of_lake(store: Store, venue: str, symbol: str, first: date, last: date, fees: Fees) -> Market:
    """The days (of receipt) from `first` to `last`. Raises `TapeError` where the lake has no rows of them."""
    kind: Literal["spot", "usdm"] | None = {"binance-spot": "spot", "binance-usdm": "usdm"}.get(venue)  # type: ignore[assignment]
    if kind is None:
        raise TapeError(f"a backtest is of binance-spot or binance-usdm, not of {venue}")
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    if not any(store.parts(raw_table(venue, "trades"), venue, symbol, day) for day in days):
        raise TapeError(
            f"the lake {store.root} has no raw trades of {venue} {symbol} from {first} to {last}: scalp coverage shows what it has"
        )

    def taped() -> Iterator[Taped]:
        for day in days:
            yield from frames_of_day(store, venue, symbol, day)

    sample = list(islice(taped(), SAMPLE))
    if not any(frame.data.startswith(SNAPSHOT) for frame in sample) and not any("@depth" in frame.stream for frame in sample):
        raise TapeError(f"the lake has no book of {venue} {symbol} from {first} to {last}: a backtest needs depth")
    listing, _ = listed(symbol, sample, kind, fees)
    source = f"lake, {first} to {last}" if last > first else f"lake, {first}"
    return Market(venue, listing, sample[0].ts, lambda: (frame_of(frame) for frame in taped()), source)


SNAPSHOT = b'{"lastUpdateId"'


def frames_of_day(store: Store, venue: str, symbol: str, day: date) -> Iterator[Taped]:
    """All raw rows received on a day, in order of receipt and then of their place in the file."""
    scans = {noun: [store.scan(part) for part in store.parts(raw_table(venue, noun), venue, symbol, day)] for noun in NOUNS}
    usdm = venue == "binance-usdm"
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for n in range(int(timedelta(days=1) / STEP)):
        low = start + n * STEP
        within = (pl.col("ts_recv") >= low) & (pl.col("ts_recv") < low + STEP)
        read = {noun: [scan.filter(within).collect() for scan in some] for noun, some in scans.items()}
        rows = [_written(noun, frame, symbol, usdm) for noun, frames in read.items() for frame in frames if frame.height]
        for ts, _, stream, data in heapq.merge(*(sorted(some, key=lambda row: row[:2]) for some in rows), key=lambda row: row[:2]):
            yield Taped(ts, symbol, stream, data)


Row = tuple[int, int, str, bytes]  # receive time, place in its file, stream, frame


def _written(noun: str, frame: pl.DataFrame, symbol: str, usdm: bool) -> list[Row]:
    times = frame.with_columns(pl.col("ts_recv", "ts_event").cast(pl.Int64))
    if noun == "marks":
        return list(_marks(times.with_columns(pl.col("ts_funding").cast(pl.Int64)), symbol))
    decimals = (frame["price_decimals"][0], frame["size_decimals"][0])
    return list({"trades": _trades, "quotes": _quotes, "depth": _depth}[noun](times, symbol, usdm, *map(number, decimals)))


def number(decimals: int) -> Callable[[int], str]:
    """Units as decimal text."""
    if not decimals:
        return str
    unit = 10**decimals
    return lambda units: f"{units // unit}.{units % unit:0{decimals}d}"


Text = Callable[[int], str]


def _trades(frame: pl.DataFrame, symbol: str, usdm: bool, price: Text, size: Text) -> Iterator[Row]:
    stream = f"{symbol.lower()}@trade"
    columns = ("ts_recv", "row", "ts_event", "trade_id", "price", "size", "side", "order_kind")
    for recv, row, event, trade_id, p, q, side, kind in frame.select(columns).iter_rows():
        ms = (recv if event is None else event) // MS
        more = f'"X":"{kind or "MARKET"}","m":{_bool(side < 0)}' if usdm else f'"m":{_bool(side < 0)},"M":true'
        text = f'{{"e":"trade","E":{ms},"T":{ms},"s":"{symbol}","t":{trade_id},"p":"{price(p)}","q":"{size(q)}",{more}}}'
        yield recv, row, stream, text.encode()


def _quotes(frame: pl.DataFrame, symbol: str, usdm: bool, price: Text, size: Text) -> Iterator[Row]:
    stream = f"{symbol.lower()}@bookTicker"
    columns = ("ts_recv", "row", "ts_event", "update_id", "bid", "bid_size", "ask", "ask_size")
    for recv, row, event, update_id, bid, bid_size, ask, ask_size in frame.select(columns).iter_rows():
        top = f'"u":{update_id},"s":"{symbol}","b":"{price(bid)}","B":"{size(bid_size)}","a":"{price(ask)}","A":"{size(ask_size)}"'
        text = f'{{"e":"bookTicker",{top},"T":{event // MS},"E":{event // MS}}}' if usdm and event is not None else f"{{{top}}}"
        yield recv, row, stream, text.encode()


def _depth(frame: pl.DataFrame, symbol: str, usdm: bool, price: Text, size: Text) -> Iterator[Row]:
    stream = f"{symbol.lower()}@depth@100ms"
    ids = ("is_snapshot", "first_id", "update_id", "prev_id")
    columns = ("ts_recv", "row", "ts_event", *ids, "bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
    for recv, row, event, whole, first, last, prev, *sides in frame.select(columns).iter_rows():
        bids, asks = (_levels(sides[k], sides[k + 1], price, size) for k in (0, 2))
        if whole:
            yield recv, row, "", f'{{"lastUpdateId":{last},"bids":{bids},"asks":{asks}}}'.encode()
            continue
        ms = (recv if event is None else event) // MS
        head = f'{{"e":"depthUpdate","E":{ms},' + (f'"T":{ms},' if usdm else "") + f'"s":"{symbol}","U":{first},"u":{last},'
        yield recv, row, stream, (head + (f'"pu":{prev},' if usdm else "") + f'"b":{bids},"a":{asks}}}').encode()


def _levels(prices: Sequence[int], sizes: Sequence[int], price: Text, size: Text) -> str:
    return "[" + ",".join([f'["{price(p)}","{size(q)}"]' for p, q in zip(prices, sizes, strict=True)]) + "]"


def _marks(frame: pl.DataFrame, symbol: str) -> Iterator[Row]:
    stream, e8 = f"{symbol.lower()}@markPrice@1s", number(8)
    columns = ("ts_recv", "row", "ts_event", "mark_e8", "index_e8", "settle_e8", "funding_rate", "ts_funding")
    for recv, row, event, mark, index, settle, rate, funding in frame.select(columns).iter_rows():
        ms = (recv if event is None else event) // MS
        told = f'"p":"{e8(mark)}","P":"{e8(settle or 0)}","i":"{e8(index or 0)}","r":"{rate or 0:.8f}","T":{(funding or 0) // MS}'
        yield recv, row, stream, f'{{"e":"markPriceUpdate","E":{ms},"s":"{symbol}",{told}}}'.encode()


def _bool(value: bool) -> str:
    return "true" if value else "false"
