"""No request leaves that would be one too many, and what the venue says is believed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.limits import NS, ORDERS, QUERIES, Limits, RateLimit

WEIGHT = RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 100)
FEW = RateLimit("ORDERS", "SECOND", 10, 20)


def limits() -> Limits:
    made = Limits()
    made.told([WEIGHT, FEW, RateLimit("RAW_REQUESTS", "MINUTE", 5, 6_100)])
    return made


requests = st.lists(st.tuples(st.integers(0, 5 * NS), st.integers(0, 30), st.integers(0, 1), st.booleans()), max_size=60)


@given(requests)
@settings(deadline=None, max_examples=200)
def test_no_window_is_ever_over_its_share(asked: list[tuple[int, int, int, bool]]):
    kept, now = limits(), 0
    used: dict[tuple[str, int], int] = {}
    for after, weight, orders, urgent in asked:
        now += after
        wait = kept.spend(now, weight, orders=orders, urgent=urgent)
        if wait:
            assert 0 < wait <= 60 * NS
            continue
        for of, by in ((WEIGHT, weight), (FEW, orders)):
            key = (of.rateLimitType, now // (of.seconds * NS))
            used[key] = used.get(key, 0) + by
    assert all(n <= ORDERS * {"REQUEST_WEIGHT": WEIGHT, "ORDERS": FEW}[of].limit for (of, _), n in used.items())


def test_queries_leave_a_share_to_orders():
    kept = limits()
    while not kept.spend(0, 5):
        pass
    assert kept.windows[0].used == QUERIES * 100
    assert not kept.spend(0, 5, urgent=True)


def test_a_wait_ends_with_the_window():
    kept, now = limits(), 25 * NS
    while not (wait := kept.spend(now, 10)):
        pass
    assert now + wait == 60 * NS and not kept.spend(now + wait, 10)


def test_the_venues_count_is_taken_unless_a_minute_ended_on_the_way():
    kept = limits()
    kept.spend(0, 1)
    kept.read({"x-mbx-used-weight-1m": "60"}, sent=0, now=NS)
    assert kept.windows[0].used == 60
    kept.read({"x-mbx-used-weight-1m": "90"}, sent=59 * NS, now=61 * NS)
    assert kept.windows[0].used == 60
    kept.read({"x-mbx-order-count-10s": "3", "x-mbx-used-weight-1m": "odd"}, sent=0, now=NS)
    assert [window.used for window in kept.windows] == [60, 3]


def test_nothing_is_sent_while_the_venue_wants_none():
    kept = limits()
    kept.hold(0, 5, "429")
    assert kept.spend(NS, 0, urgent=True) == 4 * NS and kept.why == "429" and kept.n_held == 1
    kept.hold(0, 2, "429")  # an earlier end does not shorten it
    assert kept.spend(3 * NS, 0) == 2 * NS
    assert not kept.spend(5 * NS, 1)


def test_one_request_that_is_dearer_than_the_share_goes_alone():
    kept = limits()
    assert not kept.spend(0, 90) and kept.spend(0, 1)
