"""What a live market says: a second that closed, the best bid and ask, the mark price."""

from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kernels import live_market_state as c
from kernels import live_seconds as g
from kernels import live_seconds_close as at
from kernels.decimals import Ints
from kernels.live_seconds_windows import NULL


class Second(Struct, frozen=True, gc=False):
    """A second that closed. Prices and sizes in units, `-1` where there is none; plain columns in quote currency, NaN where null.

    `features`: float64 [48] in the order of `kernels.features.names()`, NaN where null; the reader's own. Where the feed was away
    `segment` is -1 and nothing has a value.
    """

    symbol: str
    code: int  # place of the symbol in `LiveMarket.symbols`
    ts_bar: int  # the instant that ends it, by the venue's clock, ns
    known_at: int  # receive time of the event that closed it, ns
    segment: int  # number of the unbroken run, from 0
    close_units: int  # of the last trade, carried for at most 1,800 s
    bid_units: int
    ask_units: int
    open: int  # of the second's own trades
    high: int
    low: int
    last: int
    volume: int
    buy_volume: int
    sell_volume: int
    n_trades: int
    notional: int  # sum of price x size, in units of both; -1 where it does not fit 64 bits
    close: float
    mid: float
    bid: float
    ask: float
    top_age_s: float
    features: NDArray[np.float64]

    @property
    def away(self) -> bool:
        return self.segment < 0


class Best(NamedTuple):
    """The fused best bid and ask, in units: 0 where unknown. `update_id` is -1 where the venue gives none."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int
    known_at: int
    update_id: int


class Mark(NamedTuple):
    """The newest mark price, 10^-8 of quote currency, and funding: rate 10^-8 per period, paid next at `ts_funding` (ns)."""

    price: int
    index_price: int
    settle_price: int
    funding_rate: int
    ts_funding: int
    known_at: int


def second_of(symbol: str, code: int, told: Ints, given: NDArray[np.float64], features: NDArray[np.float64], price_unit: float) -> Second:
    """The second that `live_seconds_close.close` filled these arrays with, which are copied."""
    whole = [max(value, -1) for value in told.tolist()]
    return Second(
        symbol=symbol,
        code=code,
        ts_bar=whole[at.TS_BAR],
        known_at=whole[at.KNOWN_AT],
        segment=whole[at.SEGMENT],
        close_units=whole[at.CARRIED],
        bid_units=whole[at.BID],
        ask_units=whole[at.ASK],
        open=whole[at.OPEN],
        high=whole[at.HIGH],
        low=whole[at.LOW],
        last=whole[at.CLOSE],
        volume=whole[at.VOLUME],
        buy_volume=whole[at.BUYS],
        sell_volume=whole[at.SELLS],
        n_trades=whole[at.N_TRADES],
        notional=whole[at.NOTIONAL],
        close=np.nan if told[at.CARRIED] == NULL else whole[at.CARRIED] / price_unit,
        mid=float(given[g.G_MID]),
        bid=float(given[g.G_BID]),
        ask=float(given[g.G_ASK]),
        top_age_s=float(given[g.G_TOP_AGE]),
        features=features.copy(),
    )


def best_of(state: Ints) -> Best:
    """The fused top of a symbol's state."""
    bid, bid_size, ask, ask_size = state[c.BID : c.ASK_SIZE + 1].tolist() if state[c.TOP_KNOWN] else (0, 0, 0, 0)
    return Best(bid, bid_size, ask, ask_size, int(state[c.TOP_AT]), int(state[c.TOP_ID]))


def mark_of(state: Ints) -> Mark | None:
    """The newest mark price of a symbol's state; None before the first."""
    if not state[c.MARK_AT]:
        return None
    price, index, settle, rate, funding, known_at = state[c.MARK_PRICE : c.MARK_AT + 1].tolist()
    return Mark(price, index, settle, rate, funding, known_at)
