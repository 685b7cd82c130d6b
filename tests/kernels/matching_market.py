"""A small market for the tests of the simulated venue: BTCUSDT with bids 500 at 30000.00 and 700 below, asks 400 at 30001.00 and 600."""

import numpy as np

from core.market import Instrument, Side
from core.orders import Listing, Tif
from kernels.matching import Matching
from kernels.matching_words import Kind, New, Placed, Refusal

SYMBOL = "BTCUSDT"
BID, ASK = 3_000_000, 3_000_100


def listing(symbol: str = SYMBOL, *, leverage: float = 1.0, maintenance: float = 0.0, **given) -> Listing:
    """Prices in cents on a tick of 10 cents, sizes in thousandths."""
    of = Instrument(
        venue="test", symbol=symbol, price_decimals=2, size_decimals=3, tick_size=0.1, lot_size=0.001, base=symbol.removesuffix("USDT"),
        quote="USDT", maker_bps=2.0, taker_bps=5.0,
    )  # fmt: skip
    limits = {"min_size": 1, "max_size": 10**7, "min_notional": 5.0} | given
    return Listing(instrument=of, tick=10, lot=1, max_leverage=leverage, maintenance=maintenance, **limits)


def levels(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2).T


def spot(**given) -> Matching:
    return started(Matching({SYMBOL: listing()}, kind="spot", base_balances={"BTC": "2"}, **given))


def futures(*, maintenance: float = 0.005, **given) -> Matching:
    return started(Matching({SYMBOL: listing(leverage=20.0, maintenance=maintenance)}, kind="usdm", **given))


def started(venue: Matching) -> Matching:
    venue.snapshot(1, SYMBOL, levels((BID, 500), (BID - 10, 700)), levels((ASK, 400), (ASK + 10, 600)))
    return venue


def new(client_id: str, side: Side, size: int, price: int = 0, **given) -> New:
    """A limit where a price is given, else a market order."""
    return New(
        client_id=client_id,
        symbol=SYMBOL,
        side=side,
        size=size,
        price=price,
        kind=given.pop("kind", Kind.LIMIT if price else Kind.MARKET),
        **given,
    )


def placed(venue: Matching, client_id: str, side: Side, size: int, price: int = 0, **given) -> Placed:
    answer = venue.place(venue.now + 1, new(client_id, side, size, price, **given))
    assert isinstance(answer, Placed), answer
    return answer


def refused(venue: Matching, client_id: str, side: Side, size: int, price: int = 0, **given) -> int:
    answer = venue.place(venue.now + 1, new(client_id, side, size, price, **given))
    assert isinstance(answer, Refusal), answer
    return answer.code


def funds(venue: Matching, asset: str) -> tuple[int, int]:
    """Free and locked."""
    return next((each.free, each.locked) for each in venue.balances() if each.asset == asset)


POST_ONLY = Tif.GTX
