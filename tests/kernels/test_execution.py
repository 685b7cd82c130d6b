"""What order should stand: one of a symbol, on the grid, never more than is wanted, and out of a position by whatever it takes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market import Side
from core.orders import Order, Purpose, Status, Tif
from kernels.execution import OPEN_WIDE, Act, Aim, Handling, Room, Wish, bounds, ended, failed, move, order_of, wish, within
from kernels.risk_limits import Quote
from kernels.risk_orders import Open
from kernels.strategies import Urgency
from tests.kernels.engine_market import listing

HANDLING, LISTING, SPOT = Handling(), listing("BTCUSDT"), listing("BTCUSDT", spot=True)
QUOTE, ROOM = Quote(3_000_000, 3_000_010, 0), Room(10**6, 0.0095)
LATE = HANDLING.patience_ns
SECOND = 10**9


def wanted(aim: Aim, size: int, now: int = 0, *, opens: bool = True, spot: bool = False, quote: Quote = QUOTE) -> Wish | None:
    return wish(aim, size, quote, SPOT if spot else LISTING, HANDLING, ROOM, now, opens=opens)


BUY, SELL, GTX, IOC = Side.BUY, Side.SELL, Tif.GTX, Tif.IOC
CASES = {
    "nothing wanted": (Aim(), 0, 0, None),
    "an entry quotes at the best": (Aim(size=50), 0, 0, Wish(BUY, 50, 3_000_000, GTX, False, Purpose.ENTRY)),
    "a short entry too": (Aim(size=-50), 0, 0, Wish(SELL, 50, 3_000_010, GTX, False, Purpose.ENTRY)),
    "an entry adds what is missing": (Aim(size=50), 20, 0, Wish(BUY, 30, 3_000_000, GTX, False, Purpose.ENTRY)),
    "an urgent entry takes": (Aim(size=50, urgency=Urgency.NOW), 0, 0, Wish(BUY, 50, 3_001_510, IOC, False, Purpose.ENTRY)),
    "an entry is given up": (Aim(size=50), 0, LATE, None),
    "an exit quotes reduce-only": (Aim(), 50, 0, Wish(SELL, 50, 3_000_010, GTX, True, Purpose.EXIT)),
    "an exit takes when late": (Aim(), 50, LATE, Wish(SELL, 50, 2_998_500, IOC, True, Purpose.EXIT)),
    "part of a position leaves": (Aim(size=20), 50, 0, Wish(SELL, 30, 3_000_010, GTX, True, Purpose.EXIT)),
    "the other sign: out first": (Aim(size=-20), 50, 0, Wish(SELL, 50, 3_000_010, GTX, True, Purpose.EXIT)),
    "a stop takes": (Aim(size=50, out=Purpose.STOP), 50, 0, Wish(SELL, 50, 2_998_500, IOC, True, Purpose.STOP)),
    "a short is bought back": (Aim(out=Purpose.FLATTEN), -50, 0, Wish(BUY, 50, 3_001_510, IOC, True, Purpose.FLATTEN)),
    "a profit rests": (Aim(size=50, take_profit=3_010_003), 50, LATE, Wish(SELL, 50, 3_010_010, GTX, True, Purpose.TAKE_PROFIT)),
    "a profit there is taken": (Aim(size=50, take_profit=2_999_990), 50, 0, Wish(SELL, 50, 2_998_500, IOC, True, Purpose.TAKE_PROFIT)),
    "too little for the venue": (Aim(size=52, take_profit=3_010_000), 51, 0, Wish(SELL, 51, 3_010_000, GTX, True, Purpose.TAKE_PROFIT)),
}  # fmt: skip


@pytest.mark.parametrize(("aim", "size", "now", "expected"), CASES.values(), ids=CASES)
def test_the_order_that_should_stand(aim: Aim, size: int, now: int, expected: Wish | None):
    small = listing("BTCUSDT", min_notional=50.0)
    assert wish(aim, size, QUOTE, small, HANDLING, ROOM, now, opens=True) == expected


def test_nothing_is_opened_that_may_not_be_and_what_is_held_leaves_all_the_same():
    assert wanted(Aim(size=50), 0, opens=False) is None
    assert wanted(Aim(size=-50), 20, opens=False) == Wish(SELL, 20, 3_000_010, GTX, True, Purpose.EXIT)


aims = st.builds(
    Aim, size=st.integers(-300, 300), urgency=st.sampled_from(Urgency), take_profit=st.sampled_from([0, 2_990_000, 3_000_500, 3_010_000]),
    since=st.just(0), out=st.sampled_from([None, Purpose.STOP, Purpose.FLATTEN]),
)  # fmt: skip


@given(aims, st.integers(-300, 300), st.integers(0, 2 * LATE), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=200)
def test_a_wish_is_on_the_grid_and_never_overshoots(aim: Aim, size: int, now: int, opens: bool, spot: bool):
    if spot:
        size, aim.size = abs(size), abs(aim.size)
    made = wanted(aim, size, now, opens=opens, spot=spot)
    if made is None:
        return
    after = size + made.size * made.side.sign
    target = 0 if aim.out else aim.size
    assert made.price % LISTING.tick == 0 and made.size > 0
    if made.reduce_only:
        assert size * after >= 0 and abs(after) < abs(size)
    else:
        assert opens and size * target >= 0 and abs(size) < abs(after) <= abs(target)
    if made.tif is GTX:
        assert made.price <= QUOTE.bid if made.side is BUY else made.price >= QUOTE.ask
    if aim.out is not None:
        assert made.tif is IOC and made.reduce_only


def test_a_profit_beyond_the_band_is_not_placed_yet():
    near, far = (wanted(Aim(size=50, take_profit=price), 50) for price in (3_010_000, 3_100_000))
    assert near is not None and within(near, QUOTE, ROOM)
    assert far is not None and not within(far, QUOTE, ROOM)


def standing(made: Wish, status: Status = Status.NEW, left: int | None = None) -> Open:
    return Open(order=order_of(made, "sc1-1", "BTCUSDT", 0, 1), left=made.size if left is None else left, status=status)


ENTRY = Wish(BUY, 50, 3_000_000, GTX, False, Purpose.ENTRY)


@pytest.mark.parametrize(
    ("now_wanted", "row", "cancelling", "now", "act"),
    [
        (ENTRY, None, False, 0, Act.PLACE),
        (ENTRY, standing(ENTRY), False, SECOND, Act.WAIT),
        (ENTRY._replace(price=3_000_010), standing(ENTRY), False, SECOND // 4, Act.WAIT),
        (ENTRY._replace(price=3_000_010), standing(ENTRY), False, SECOND, Act.CANCEL),
        (ENTRY._replace(price=3_000_010), standing(ENTRY), True, SECOND, Act.WAIT),
        (ENTRY._replace(size=60), standing(ENTRY), False, SECOND, Act.WAIT),
        (ENTRY._replace(size=40), standing(ENTRY), False, SECOND, Act.CANCEL),
        (None, standing(ENTRY), False, 0, Act.CANCEL),
        (ENTRY._replace(side=SELL), standing(ENTRY), False, 0, Act.CANCEL),
        (ENTRY._replace(tif=IOC), standing(ENTRY), False, 0, Act.CANCEL),
        (ENTRY._replace(side=SELL), standing(ENTRY, Status.UNKNOWN), False, SECOND, Act.WAIT),
        (ENTRY._replace(side=SELL), standing(ENTRY, Status.INTENT), False, SECOND, Act.WAIT),
    ],
    ids=[
        "place",
        "it stands",
        "not yet",
        "reprice",
        "on its way",
        "not enough",
        "too much",
        "gone",
        "other side",
        "take",
        "unknown",
        "sent",
    ],
)
def test_one_order_stands_at_a_time(now_wanted: Wish | None, row: Open | None, cancelling: bool, now: int, act: Act):
    assert move(now_wanted, [(row, cancelling)] if row else [], Aim(size=50), HANDLING, now).act is act


def test_after_refusals_it_waits_longer_each_time():
    aim, waits = Aim(size=50), []
    for _ in range(12):
        failed(aim, HANDLING, 0)
        waits.append(aim.wait_until)
    assert waits[:4] == [HANDLING.retry_ns << n for n in range(4)] and waits[-1] == 30 * SECOND
    assert move(ENTRY, [], aim, HANDLING, waits[-1] - 1).act is Act.WAIT
    assert move(ENTRY, [], aim, HANDLING, waits[-1]).act is Act.PLACE


@pytest.mark.parametrize(
    ("aim", "size", "quote", "now", "why"),
    [
        (Aim(size=50, stop=2_990_000), 50, QUOTE, 0, None),
        (Aim(size=50, stop=2_990_000), 50, Quote(2_990_000, 2_990_010, 0), 0, Purpose.STOP),
        (Aim(size=-50, stop=3_010_000), -50, Quote(3_009_990, 3_010_000, 0), 0, Purpose.STOP),
        (Aim(size=50, expires=SECOND), 50, QUOTE, SECOND, Purpose.TIME_STOP),
        (Aim(size=50, expires=SECOND, stop=2_990_000), 0, Quote(1, 2, 0), SECOND, None),
    ],
    ids=["none", "stop", "stop of a short", "time", "nothing held"],
)
def test_when_a_position_has_to_go(aim: Aim, size: int, quote: Quote, now: int, why: Purpose | None):
    assert ended(aim, size, quote, now) is why


@given(aims, st.integers(-300, 300), st.sampled_from([0, 2_985_000]), st.integers(2_980_000, 3_020_000), st.integers(0, 2 * LATE))
@settings(deadline=None, max_examples=200)
def test_inside_the_bounds_nothing_has_to_be_decided(aim: Aim, size: int, stop: int, bid: int, now: int):
    """Wherever the market goes inside them: the same wish, but for the price of a quote that may not be moved yet."""
    aim.stop, aim.out, bid = stop if size > 0 else 0, None, bid // 10 * 10
    first = wanted(aim, size, now)
    resting = first is not None and first.tif is GTX
    rows = [(standing(first), False)] if resting and first is not None else []
    low, high, ask_low, ask_high = bounds(first, rows, aim, size, HANDLING, now)
    moved = Quote(bid, bid + 10, 0)
    if ended(aim, size, QUOTE, now) or not rows or not (low <= bid <= high and ask_low <= bid + 10 <= ask_high):
        return
    assert ended(aim, size, moved, now) is None
    assert move(wanted(aim, size, now, quote=moved), rows, aim, HANDLING, now).act is Act.WAIT


def test_nothing_to_do_is_nothing_to_watch():
    assert bounds(None, [], Aim(), 0, HANDLING, 0) == OPEN_WIDE
    assert isinstance(order_of(ENTRY, "sc1-1", "BTCUSDT", 5, 7), Order)
