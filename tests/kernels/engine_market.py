"""A market as frames, and a session: the engine on one side, the venue's matching on the other, under one clock."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from core.events import (
    Account,
    AnyInput,
    Approved,
    Ask,
    Cancel,
    CancelAll,
    Connected,
    Decision,
    Filled,
    Ordered,
    Prediction,
    Resync,
    Snapshot,
    Timer,
)
from core.market import NS, Instrument
from core.orders import Fill, Kind, Listing, Order, Standing, Status
from kernels import engine
from kernels.engine_plan import ModelFacts, Plan, caps
from kernels.features import model_inputs
from kernels.frames_live import Live
from kernels.matching import Matching
from kernels.matching_words import Kind as VenueKind
from kernels.matching_words import New, OrderUpdate, Placed, Refusal
from kernels.risk import Limits

SYMBOLS = ("BTCUSDT", "ETHUSDT")
START = 1_767_571_200 * NS  # 2026-01-05 00:00:00
BID = {"BTCUSDT": 3_000_000, "ETHUSDT": 300_000}
MODEL = ModelFacts(version="v1", alias="champion", features=model_inputs()[:4], window=5)
Answering = Callable[[Ask], Prediction | None]


def listing(symbol: str, *, spot: bool = False, **given: Any) -> Listing:
    """Prices in cents, on a tick of 10 cents; sizes in thousandths."""
    of = Instrument(
        venue="test", symbol=symbol, price_decimals=2, size_decimals=3, tick_size=0.1, lot_size=0.001, base=symbol.removesuffix("USDT"),
        quote="USDT", maker_bps=2.0, taker_bps=5.0,
    )  # fmt: skip
    more = {"max_leverage": 1.0} if spot else {"max_leverage": 20.0, "maintenance": 0.005}
    return Listing(instrument=of, tick=10, lot=1, min_size=1, max_size=10**7, **({"min_notional": 5.0} | more | given))


def plan(*, spot: bool = False, **given: Any) -> Plan:
    loose = Limits(max_orders_per_s=1000, max_daily_loss=1e6, max_drawdown=1e6, max_loss_streak=10**6)
    of = {symbol: listing(symbol, spot=spot) for symbol in SYMBOLS}
    return Plan(**({"venue": "test", "listings": of, "caps": caps(SYMBOLS, {}, 4_000.0), "limits": loose} | given))


def frames(seconds: int, *, seed: int = 1, per_s: int = 20) -> Iterator[tuple[int, list[bytes]]]:
    """(ts_recv, payloads): diffs, tickers and trades of two symbols whose prices wander in waves; ids follow each other."""
    random = np.random.default_rng(seed)
    ids, bids = dict.fromkeys(SYMBOLS, 1_000), dict(BID)
    for n in range(seconds * per_s):
        ts = START + n * NS // per_s + int(random.integers(0, 1_000_000))
        payloads = []
        for symbol in SYMBOLS:
            was, drift = bids[symbol], np.sin(n / per_s / 40) * 0.5
            bids[symbol] += 10 * int(random.choice([-1, 0, 0, 1], p=[0.2 - 0.1 * drift, 0.3, 0.3, 0.2 + 0.1 * drift]))
            bid, ids[symbol] = bids[symbol], ids[symbol] + 1
            size = int(random.integers(200, 900))
            changed = [[text(was), "0.000"], [text(was + 10), "0.000"]] if bid != was else []
            data = {"e": "depthUpdate", "E": ts // 10**6, "T": ts // 10**6, "s": symbol, "U": ids[symbol], "u": ids[symbol],
                    "pu": ids[symbol] - 1, "b": [*changed[:1], [text(bid), f"{size / 1000:.3f}"]],
                    "a": [*changed[1:], [text(bid + 10), f"{size / 1000:.3f}"]]}  # fmt: skip
            if bid > was:
                data["a"].append([text(was + 10), "0.000"])
            if bid < was:
                data["b"].append([text(was), "0.000"])
            payloads.append(written("depth@100ms", data))
            if random.random() < 0.7:
                sell = bool(random.random() < 0.5 - 0.2 * drift)
                trade = {"e": "trade", "E": ts // 10**6, "T": ts // 10**6, "s": symbol, "t": n, "p": text(bid if sell else bid + 10),
                         "q": f"{random.integers(1, 400) / 1000:.3f}", "X": "MARKET", "m": sell}  # fmt: skip
                payloads.append(written("trade", trade))
        yield ts, payloads


def text(units: int) -> str:
    return f"{units // 100}.{units % 100:02d}"


def written(stream: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"stream": f"{data['s'].lower()}@{stream}", "data": data}, separators=(",", ":")).encode()


def snapshot(symbol: str, ts: int, update_id: int, bid: int) -> Snapshot:
    return Snapshot(
        ts=ts, symbol=symbol, update_id=update_id, bids=((bid, 500), (bid - 1000, 900)), asks=((bid + 10, 400), (bid + 2000, 900))
    )


class Session:
    """The engine against the venue's matching: whatever is decided is done at once, and told in the same instant."""

    def __init__(self, given: Plan, *, answering: Answering = lambda _: None, start: int = START, follows: bool = True) -> None:
        self.plan, self.answering, self.follows = given, answering, follows
        spot = all(of.spot for of in given.listings.values())
        self.state = engine.init(given, start)
        self.live = Live(engine.scales(given))
        self.venue = Matching(given.listings, kind="spot" if spot else "usdm", leverage=10)
        self.inputs: list[AnyInput | tuple[int, list[bytes]]] = []
        self.decisions: list[Decision] = []
        self.next_timer = self.now = start
        self.coming: Iterator[tuple[int, list[bytes]]] | None = None
        self.latest = {symbol: (1_000, bid) for symbol, bid in BID.items()}  # update id and best bid
        self.sends = True  # whether orders and cancels reach the venue

    def put(self, told: AnyInput) -> Sequence[Decision]:
        self.inputs.append(told)
        made = engine.step(self.state, told, self.plan)
        self._act(made, told.ts)
        return made

    def market(self, ts: int, payloads: list[bytes]) -> None:
        self.now = ts
        for payload in payloads if self.follows else ():
            data = json.loads(payload)["data"]
            if data["e"] == "depthUpdate":
                best = next(price for price, size in data["b"] if float(size))
                self.latest[data["s"]] = data["u"], round(float(best) * 100)
        while self.next_timer <= ts:
            self.put(Timer(ts=self.next_timer))
            self.next_timer += NS // 10
        batch = self.live.decode(payloads, ts)
        self.venue.market(batch, ts)
        self._told(ts)
        self.inputs.append((ts, payloads))
        self._act(engine.step(self.state, batch, self.plan), ts)

    def open(self) -> "Session":
        self.put(Connected(ts=self.now, what="account"))
        self.put(Account(ts=self.now, positions=(), balances=(), clean=True))
        self.put(Connected(ts=self.now, what="market"))
        return self

    def run(self, seconds: float, **given: Any) -> "Session":
        """On for so long."""
        if self.coming is None:
            self.coming = frames(100_000, **given)
        end = self.now + int(seconds * NS)
        while self.now < end:
            self.market(*next(self.coming))
        return self

    def until(self, kind: type[Any], *, most: int = 300, where: Callable[[Any], bool] = lambda _: True) -> Any:
        """On until such a decision is made; it."""
        known = len(self.decisions)
        for _ in range(most * 20):
            self.run(0.05)
            if found := [one for one in self.decisions[known:] if isinstance(one, kind) and where(one)]:
                return found[0]
        raise AssertionError(f"no {kind.__name__} in {most} s")

    def _act(self, made: Sequence[Decision], ts: int) -> None:
        self.decisions += made
        for decision in made:
            match decision:
                case Approved() if self.sends:
                    self._send(decision.order, ts)
                case Cancel() if self.sends:
                    self.venue.cancel(ts, decision.symbol, client_id=decision.order_id)
                case CancelAll() if self.sends:
                    for symbol in decision.symbols:
                        self.venue.cancel_all(ts, symbol)
                case Resync() if self.follows:
                    if self.state.market.stale(decision.symbol):
                        told = snapshot(decision.symbol, ts, *self.latest[decision.symbol])
                        bids, asks = (np.array(side).T for side in (told.bids, told.asks))
                        self.venue.snapshot(ts, decision.symbol, bids, asks, told.update_id)
                        self.put(told)
                case Ask():
                    if (answer := self.answering(decision)) is not None:
                        self.put(answer)
        self._told(ts)

    def _send(self, order: Order, ts: int) -> None:
        new = New(
            client_id=order.order_id, symbol=order.symbol, side=order.side, size=order.size, price=order.price, tif=order.tif,
            kind=VenueKind.LIMIT if order.kind is Kind.LIMIT else VenueKind.MARKET,
            reduce_only=order.reduce_only and not self.plan.listings[order.symbol].spot,
        )  # fmt: skip
        answer = self.venue.place(ts, new)
        if isinstance(answer, Refusal):
            no = Standing(order_id=order.order_id, symbol=order.symbol, status=Status.REJECTED, code=answer.code, reason=answer.text)
            self.put(Ordered(ts=ts, standing=no))
        else:
            assert isinstance(answer, Placed)

    def _told(self, ts: int) -> None:
        for update in self.venue.taken():
            if not isinstance(update, OrderUpdate):
                continue
            if update.fill is not None:
                of = {name: getattr(update.fill, name) for name in Fill.__struct_fields__}
                self.put(Filled(ts=ts, fill=Fill(**(of | {"ts_recv": ts}))))
            order = update.order
            self.put(
                Ordered(ts=ts, standing=Standing(order_id=order.client_id, symbol=order.symbol, status=order.status, filled=order.filled,
                                                 side=order.side, price=order.price, size=order.size))
            )  # fmt: skip


def replayed(given: Plan, inputs: Sequence[AnyInput | tuple[int, list[bytes]]], start: int = START) -> list[Decision]:
    """The decisions of the same inputs, told again."""
    state, live = engine.init(given, start), Live(engine.scales(given))
    made: list[Decision] = []
    for told in inputs:
        made += engine.step(state, live.decode(told[1], told[0]) if isinstance(told, tuple) else told, given)
    return made


def shown(made: Sequence[Decision]) -> list[bytes]:
    """What can be compared: windows by their bytes."""
    return [
        msgspec.json.encode(msgspec.structs.replace(one, window=one.window.tobytes().hex()) if isinstance(one, Ask) else one)
        for one in made
    ]


def sure(ask: Ask, *, up: float = 0.6, late_ns: int = 2_000_000) -> Prediction:
    """A model that is sure of what the window's last row says."""
    lean = up if float(np.asarray(ask.window).sum()) > 0 else 0.9 - up
    return Prediction(
        ts=ask.ts + late_ns, symbol=ask.symbol, as_of=ask.as_of, version=ask.version, alias=ask.alias, down=0.9 - lean, flat=0.1, up=lean,
        confidence=0.9, volatility=1e-4,
    )  # fmt: skip


def of(made: Sequence[Decision], kind: type[Any]) -> list[Any]:
    return [one for one in made if isinstance(one, kind)]
