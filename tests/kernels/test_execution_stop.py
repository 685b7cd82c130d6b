"""A stop at the venue stands behind what is held, on the tick, never where it would go off at once, and moves only for a reason."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.market import Instrument, Side
from core.orders import Listing, Order
from kernels import execution_stop as stops
from kernels.positions import Position, flat, trade
from kernels.risk_limits import Quote

OF = Instrument(
    venue="v", symbol="S", price_decimals=1, size_decimals=3, tick_size=0.5, lot_size=0.002, base="B", quote="Q", settlement="Q"
)
LISTING = Listing(instrument=OF, tick=5, lot=2, min_size=2, max_size=1_000, max_leverage=10.0)


def position(size: int, price: int) -> Position:
    made = flat(LISTING)
    trade(made, size * made.to_base, price)
    return made


@settings(deadline=None, max_examples=100)
@given(st.integers(-3_000, 3_000), st.integers(10_000, 99_999), st.integers(2_000, 20_000), st.floats(1.0, 500.0))
def test_it_closes_all_that_a_venue_takes_on_the_tick_and_waits(size: int, price: int, bid: int, bps: float):
    quote = Quote(5 * bid, 5 * bid + 5, 0)
    stop = stops.wish(position(size, price), quote, LISTING, bps)
    if abs(size) < 2:
        assert stop is None
        return
    assert stop is not None
    assert stop.side is (Side.SELL if size > 0 else Side.BUY)
    assert stop.size % 2 == 0
    assert 2 <= stop.size <= min(abs(size), 1_000)
    assert stop.price % 5 == 0
    assert stop.price < quote.bid if size > 0 else stop.price > quote.ask
    if stop.by_average:
        far = price * (1 - bps / 1e4 if size > 0 else 1 + bps / 1e4)
        assert abs(stop.price - far) <= 6


def standing(size: int, price: int) -> tuple[Order, stops.Stop]:
    stop = stops.wish(position(size, price), Quote(60_000, 60_005, 0), LISTING, 100.0)
    assert stop is not None
    return stops.order_of(stop, "a", "S", 0, 1), stop


def test_it_stays_where_it_is_near_enough_and_moves_once_it_is_not():
    order, stop = standing(100, 60_000)
    later = stops.SETTLE_NS
    assert stops.amiss(stop, order, 100.0, later) == ""
    assert stops.amiss(stop._replace(price=stop.price + 50), order, 100.0, later) == ""
    assert stops.amiss(stop._replace(price=stop.price + 65), order, 100.0, later) == "the average price moved"
    assert stops.amiss(stop._replace(price=stop.price + 65), order, 100.0, later - 1) == ""
    assert stops.amiss(stop._replace(price=stop.price - 500, by_average=False), order, 100.0, later) == ""  # the market is beyond it
    assert stops.amiss(stop._replace(size=102), order, 100.0, later) == "more is held"
    assert stops.amiss(stop._replace(size=50), order, 100.0, later) == ""  # it closes what is there
    assert stops.amiss(None, order, 100.0, 0) == "nothing is held"
    assert stops.amiss(stop._replace(side=Side.BUY), order, 100.0, 0) == "the position turned"


def test_it_is_no_order_that_adds():
    order, _ = standing(-100, 60_000)
    assert order.reduce_only
    assert order.price == 0
    assert order.side is Side.BUY
    assert replace(order, size=100) == order
