"""Whatever the state, an approved order breaks no limit: 100,000 random states, judged again by plain loops over what might fill."""

import random
from typing import Any

from core.events import Approved, Mode
from core.market import NS, Side
from core.orders import Kind, Order, Purpose, Status, Tif
from kernels import holdings, risk, risk_orders
from kernels.risk import Clock, Limits, Quote
from tests.kernels.risk_cases import LISTINGS, MID, NOW, account

CHECKS = 100_000
NAN = float("nan")
LOOSE = 1 + 1e-9


class Market:
    """A walk through states: prices, fills, cancels, lost answers, and things that are not numbers."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now, self.n = NOW, 0
        self.afresh()

    def afresh(self) -> None:
        rng = self.rng
        self.capital = rng.choice([10_000.0, 10_000.0, 3_000.0, 100.0, NAN])
        self.held = account(self.capital if self.capital == self.capital else 10_000.0, SPOT=rng.randrange(0, 4_000))
        self.held.capital = self.capital
        for symbol in ("BTCUSDT", "ETHUSDT"):
            holdings.adopt(self.held, symbol, rng.choice([0, rng.randrange(-5_000, 5_000)]), MID)
        self.held.day_first = self.held.peak = holdings.equity_now(self.held) + rng.choice([0.0, 0.0, 190.0, 210.0, -50.0])
        self.held.loss_streak = rng.choice([0, 0, 0, 19, 20])
        self.orders = risk_orders.init()
        self.quotes = {symbol: Quote(MID - 1, MID + 1, self.now) for symbol in LISTINGS}
        numbers: list[Any] = [n * rng.choice([1, 1, 0.5, 2]) if isinstance(n, float) else n for n in Limits()]
        if rng.random() < 0.05:
            numbers[rng.randrange(len(numbers))] = NAN
        self.limits = Limits(*numbers)
        self.mode = rng.choice([Mode.ACTIVE, Mode.ACTIVE, Mode.ACTIVE, Mode.REDUCING, Mode.HALTED])

    def move(self) -> None:
        rng = self.rng
        self.now += rng.choice([0, 1_000_000, 200_000_000, NS])
        for symbol in LISTINGS:
            bid = self.quotes[symbol].bid if self.quotes[symbol].bid > 1 else MID
            bid, late = max(2, bid + rng.randrange(-30, 31)), rng.choice([0, 0, 0, 0, 3 * NS])
            self.quotes[symbol] = rng.choice(
                [Quote(bid, bid + rng.randrange(1, 50), self.now - late)] * 30 + [Quote(0, 0, 0), Quote(bid, bid, 0)]
            )
            holdings.mark(self.held, symbol, self.quotes[symbol].bid, self.quotes[symbol].ask, self.quotes[symbol].ts)
        for row in list(self.orders.by_id.values()):
            fate, order = rng.random(), row.order
            if fate < 0.1:
                position = self.held.positions[order.symbol]
                size = rng.randrange(0, row.left + 1)
                if order.reduce_only and not position.listing.spot:
                    size = min(size, max(0, -position.size * order.side.sign))
                holdings.adopt(self.held, order.symbol, position.size + size * order.side.sign, order.price or MID)
                left = row.left - size
                risk_orders.stands(self.orders, order.order_id, Status.PARTIAL if left else Status.FILLED, left)
            elif fate < 0.3:
                risk_orders.stands(self.orders, order.order_id, rng.choice([Status.CANCELLED, Status.UNKNOWN, Status.NEW, Status.SENT]))

    def wish(self) -> Order:
        rng, self.n = self.rng, self.n + 1
        symbol, side = rng.choice(list(LISTINGS)), rng.choice(list(Side))
        quote, position = self.quotes[symbol], self.held.positions[symbol]
        price: Any = max(1, quote.bid + rng.randrange(-200, 201) * rng.choice([1, 1, 1, 10]))
        size: Any = rng.choice([rng.randrange(1, 2_500), abs(position.size), max(1, abs(position.size) // 2)])
        kind, tif = rng.choice([Kind.LIMIT, Kind.LIMIT, Kind.LIMIT, Kind.MARKET]), rng.choice(list(Tif))
        if rng.random() < 0.02:
            price, size = rng.choice([(NAN, size), (price, NAN), (price, -size), (10**400, size), (price, 10**400)])
        return Order(
            order_id=f"sc1-{self.n - (rng.random() < 0.02)}",
            symbol=symbol, side=side, size=size, price=0 if kind is Kind.MARKET else price,
            kind=kind, tif=tif, reduce_only=rng.random() < 0.3, purpose=rng.choice(list(Purpose)), ts=self.now,
        )  # fmt: skip

    def check(self, order: Order) -> Any:
        return risk.check(
            order, orders=self.orders, holdings=self.held, quote=self.quotes[order.symbol], limits=self.limits,
            clock=Clock(now=self.now), mode=self.mode,
        )  # fmt: skip


def fill_some(market: Market, symbol: str, orders: list[Order], of: Order | None) -> tuple[int, bool]:
    """Some of the orders fill in a random sequence, in full: the size they lead to, and whether `of` made it larger or turned it."""
    position = market.held.positions[symbol]
    size, worse = position.size, False
    for order in market.rng.sample(orders, market.rng.randrange(len(orders) + 1)):
        row = market.orders.by_id.get(order.order_id)
        left = row.left if row and order is not of else order.size
        if order.reduce_only and not position.listing.spot:
            left = min(left, max(0, -size * order.side.sign))
        after = size + left * order.side.sign
        worse |= order is of and (abs(after) > abs(size) or after * size < 0)
        size = after
    return size, worse


def breach(market: Market, order: Order, reducing: bool) -> str:
    """What an approval breaks; "" where nothing. Nothing of `kernels.risk` is asked."""
    limits, quote = market.limits, market.quotes[order.symbol]
    mid, listing = (quote.bid + quote.ask) / 2, LISTINGS[order.symbol]
    live: dict[str, list[Order]] = {symbol: [] for symbol in LISTINGS}
    for row in market.orders.by_id.values():
        live[row.order.symbol].append(row.order)
    others = live[order.symbol]
    everything = all(n == n for n in limits)
    sane = 0 < quote.bid < quote.ask and 0 <= market.now - quote.ts <= limits.max_quote_age_s * NS and everything
    if not sane or not 0 < order.size <= listing.max_size:
        return "quote, limits or size"
    if order.kind is Kind.LIMIT and not abs(order.price / mid - 1) <= limits.price_band * LOOSE:
        return "band"
    if len(others) >= limits.max_open_orders or sum(1 for ts in market.orders.sent if market.now - ts < NS) >= limits.max_orders_per_s:
        return "count"
    for other in others:
        if other.order_id == order.order_id:
            return "id"
        if other.side is not order.side and order.kind is other.kind is Kind.LIMIT and (order.price - other.price) * order.side.sign >= 0:
            return "self-trade"
    out = reducing and (market.mode is not Mode.HALTED or order.purpose is Purpose.FLATTEN)
    if market.mode is not Mode.ACTIVE and not out:
        return "mode"
    size, worse = fill_some(market, order.symbol, [*others, order], order)
    if reducing or (listing.spot and size < 0):
        return "turned" if worse or (listing.spot and size < 0) else ""
    equity, gross, net = holdings.equity_now(market.held), 0.0, 0.0
    for symbol, position in market.held.positions.items():
        one = order.symbol == symbol
        middle = mid if one else position.mid
        size, _ = fill_some(market, symbol, [*live[symbol], order] if one else live[symbol], None)
        value = size * middle / 100_000
        gross, net = gross + abs(value), net + value
        if one and not abs(value) <= limits.max_position * LOOSE:
            return "position"
    if not order.size * (order.price or mid) / 100_000 <= limits.max_order * LOOSE:
        return "order"
    if not gross <= limits.max_gross * LOOSE or not abs(net) <= limits.max_net * LOOSE:
        return "gross or net"
    if not gross <= min(limits.max_leverage, listing.max_leverage) * equity * LOOSE:
        return "leverage"
    lost = max(market.held.day_first - equity - limits.max_daily_loss, market.held.peak - equity - limits.max_drawdown)
    unknown = any(row.status is Status.UNKNOWN and row.order.symbol == order.symbol for row in market.orders.by_id.values())
    return "losses" if not lost < 0 or unknown or market.held.loss_streak >= limits.max_loss_streak else ""


def test_no_approval_breaks_a_limit_in_100_000_random_states():
    market, approved, reducing = Market(7), 0, 0
    for i in range(CHECKS):
        if i % 60 == 0:
            market.afresh()
        market.move()
        order = market.wish()
        told = market.check(order)
        if not isinstance(told, Approved):
            continue
        exits = risk.reduces(order, market.held.positions[order.symbol], market.orders)
        assert breach(market, order, exits) == "", (i, order)
        approved, reducing = approved + 1, reducing + exits
        if market.rng.random() < 0.7:
            risk_orders.enter(market.orders, order, market.now)
    assert approved > 5_000 and 500 < reducing < approved  # the walk does not refuse itself out of a test
