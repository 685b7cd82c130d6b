"""What the venue knows of its markets besides orders: whole books, recent trades and bars, mark prices.

batches of decoded frames -> Markets -> depth and trades here, klines in `serving.venue_bars`, tickers in `serving.venue_tickers`
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from kernels.frames_live import Batch
from kernels.frames_live_scan import (
    ASK,
    ASK_SIZE,
    ASKS,
    BIDS,
    DIFF,
    EVENT,
    ID,
    KIND,
    MARKET,
    N_ASKS,
    N_BIDS,
    ODD,
    PRICE,
    QUOTE,
    SIDE,
    SIZE,
    SYMBOL,
    TRADE,
)
from serving.venue_bars import Bar, Print, add, coarser
from serving.venue_words import MS, Scale

TRADES, HOUR_S, DAY_MIN = 1_000, 3_600, 1_441  # kept of each symbol: trades; seconds and minutes with a trade
RATE = 10_000  # funding, whole 10^-8, where the recording tells none


class Book:
    """One symbol's market."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.sides: tuple[dict[int, int], dict[int, int]] = {}, {}
        self.update_id = 0
        self.ts = 0
        self.whole = False  # a snapshot was there
        self.quote: tuple[int, int, int, int] = (0, 0, 0, 0)
        self.trades: deque[Print] = deque(maxlen=TRADES)
        self.seconds: deque[Bar] = deque(maxlen=HOUR_S)
        self.minutes: deque[Bar] = deque(maxlen=DAY_MIN)
        self.mark = 0.0
        self.rate = RATE

    def begin(self, bids: Sequence[Sequence[int]], asks: Sequence[Sequence[int]], update_id: int) -> None:
        self.sides = dict(zip(*bids, strict=True)), dict(zip(*asks, strict=True))
        self.update_id, self.whole = update_id, True

    def change(self, bids: Sequence[Sequence[int]], asks: Sequence[Sequence[int]], update_id: int, ts: int) -> None:
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            for price, size in zip(*levels, strict=True):
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        self.update_id, self.ts = update_id, ts

    def best(self, n: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        bids, asks = self.sides
        return sorted(bids.items(), reverse=True)[:n], sorted(asks.items())[:n]

    def depth(self, n: int) -> tuple[list[list[str]], list[list[str]]]:
        price, size = self.scale.price, self.scale.size
        bids, asks = ([[price(at), size(of)] for at, of in side] for side in self.best(n))
        return bids, asks

    def print(self, trade: Print) -> None:
        self.trades.append(trade)
        add(self.seconds, trade, 1)
        add(self.minutes, trade, 60)

    @property
    def top(self) -> tuple[int, int, int, int]:
        """Best bid and ask with sizes: the ticker's where there was one."""
        if self.quote[0]:
            return self.quote
        bids, asks = self.best(1)
        (bid, bid_size), (ask, ask_size) = bids[0] if bids else (0, 0), asks[0] if asks else (0, 0)
        return bid, bid_size, ask, ask_size

    @property
    def last(self) -> int:
        return self.trades[-1].price if self.trades else (self.top[0] or self.top[2])

    @property
    def middle(self) -> float:
        """In price units; 0 where a side is empty."""
        bid, _, ask, _ = self.top
        return (bid + ask) / 2 if bid and ask else 0.0

    def bars(self, seconds: int) -> Iterator[Bar]:
        """Bars of so many seconds, oldest first: those under a minute of the last hour, the others of the last day."""
        return coarser(self.minutes if seconds % 60 == 0 else self.seconds, seconds)


class Markets:
    """All of them, fed by the batches that the tape's frames decode to."""

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        self.books = {symbol: Book(scale) for symbol, scale in scales.items()}

    def take(self, batch: Batch) -> None:
        """A diff that the snapshot already holds becomes an odd row in place, so that the matching does not take it either."""
        names, levels = batch.symbols, batch.levels
        for at, row in enumerate(batch.rows.tolist()):
            kind = row[KIND]
            if kind == ODD:
                continue
            book = self.books[names[row[SYMBOL]]]
            if kind == TRADE:
                if row[MARKET]:
                    book.print(Print(row[ID], row[PRICE], row[SIZE], row[EVENT] // MS, row[SIDE]))
            elif kind == QUOTE:
                book.quote = row[PRICE], row[SIZE], row[ASK], row[ASK_SIZE]
            elif kind == DIFF:
                if row[ID] <= book.update_id:
                    batch.rows[at, KIND] = ODD
                    continue
                bids = levels[:, row[BIDS] : row[BIDS] + row[N_BIDS]].tolist()
                asks = levels[:, row[ASKS] : row[ASKS] + row[N_ASKS]].tolist()
                book.change(bids, asks, row[ID], row[EVENT])
