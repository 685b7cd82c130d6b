"""What a client of /stream is told: the engine's inputs and decisions as JSON, prices and sizes as decimal text.

Every line has `type` and `ts` (ns), most a `symbol`. The newest signal, position, equity and mode are kept for whoever comes later.
"""

from typing import Any, NamedTuple

import msgspec

from core.events import Approved, Cancel, Command, Decision, Filled, Incident, Input, ModeChanged, Ordered, Refused, Signal
from core.orders import FEE_DECIMALS, Order
from kernels import rule_signals
from kernels.engine_state import State

KEPT = frozenset({"signal", "position", "equity", "mode"})
INDICATORS = rule_signals.TOLD[2:]


class Update(NamedTuple):
    """`kept`: whether it stands until the next of its kind and symbol."""

    kind: str
    symbol: str
    text: bytes

    @property
    def kept(self) -> bool:
        return self.kind in KEPT


def decimal(units: int, decimals: int) -> str:
    """Whole units of 10^-decimals as decimal text, exactly."""
    if not decimals:
        return str(units)
    sign, digits = "-" if units < 0 else "", str(abs(units)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


class Words:
    """Remembers the orders that are open: the venue's news of one does not repeat what it was."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.orders: dict[str, Order] = {}

    def price(self, symbol: str, units: int) -> str:
        return decimal(units, self.state.desks[symbol].listing.instrument.price_decimals)

    def size(self, symbol: str, units: int) -> str:
        return decimal(units, self.state.desks[symbol].listing.instrument.size_decimals)

    def told(self, said: Input | Decision) -> list[Update]:
        """What clients hear of it; often nothing."""
        match said:
            case Signal():
                return [self._update("signal", said.symbol, said.ts, self._signal(said))]
            case Approved():
                self.orders[said.order.order_id] = said.order
                return [self._update("order", said.order.symbol, said.ts, self._intent(said.order) | {"status": "sent", "filled": "0"})]
            case Refused():
                told = self._intent(said.order) | {"code": said.code, "detail": said.detail}
                return [self._update("refused", said.order.symbol, said.ts, told)]
            case Ordered():
                return [self._ordered(said)] if said.standing.symbol in self.state.desks else []
            case Filled():
                symbol = said.fill.symbol
                return [self._filled(said), self.position(symbol, said.ts)] if symbol in self.state.desks else []
            case ModeChanged():
                return [self._update("mode", "", said.ts, {"mode": said.mode.value, "reason": said.reason, "latched": said.latched})]
            case Cancel():
                return [self._update("cancel", said.symbol, said.ts, {"order_id": said.order_id, "reason": said.reason})]
            case Incident():
                return [self._update("incident", said.symbol, said.ts, {"kind": said.kind, "detail": said.detail})]
            case Command():
                told = {"kind": said.kind.value, "who": said.who, "reason": said.reason, "key": said.key}
                return [self._update("command", "", said.ts, told)]
        return []

    def _update(self, kind: str, symbol: str, ts: int, told: dict[str, Any]) -> Update:
        head: dict[str, Any] = {"type": kind, "ts": ts} | ({"symbol": symbol} if symbol else {})
        return Update(kind, symbol, msgspec.json.encode(head | told))

    def _signal(self, said: Signal) -> dict[str, Any]:
        return {
            "ts_bar": said.ts_bar, "price": said.price, "rule": said.rule, "rule_score": said.rule_score, "model": said.model,
            "model_score": said.model_score, "fused": said.fused, "strength": said.strength, "version": said.version, "alias": said.alias,
            "features": said.features, "indicators": dict(zip(INDICATORS, said.values, strict=False)),
        }  # fmt: skip

    def _intent(self, order: Order) -> dict[str, Any]:
        symbol = order.symbol
        known = symbol in self.state.desks
        return {
            "order_id": order.order_id, "side": order.side.value, "kind": order.kind.value, "tif": order.tif.value,
            "price": self.price(symbol, order.price) if known else str(order.price),
            "size": self.size(symbol, order.size) if known else str(order.size),
            "reduce_only": order.reduce_only, "purpose": order.purpose.value,
        }  # fmt: skip

    def _ordered(self, said: Ordered) -> Update:
        standing = said.standing
        order = self.orders.get(standing.order_id)
        if order is not None:
            told = self._intent(order)
        else:
            price, size = self.price(standing.symbol, standing.price), self.size(standing.symbol, standing.size)
            told = {"order_id": standing.order_id, "side": standing.side.value, "price": price, "size": size}
        if not standing.status.is_open:
            self.orders.pop(standing.order_id, None)
        told |= {"status": standing.status.value, "filled": self.size(standing.symbol, standing.filled)}
        if standing.code or standing.reason:
            told |= {"code": standing.code, "reason": standing.reason}
        return self._update("order", standing.symbol, said.ts, told)

    def _filled(self, said: Filled) -> Update:
        fill = said.fill
        told = {
            "order_id": fill.order_id, "trade_id": fill.trade_id, "side": fill.side.value, "price": self.price(fill.symbol, fill.price),
            "size": self.size(fill.symbol, fill.size), "maker": fill.maker, "fee": decimal(fill.fee, FEE_DECIMALS),
            "fee_asset": fill.fee_asset, "ts_event": fill.ts_event,
        }  # fmt: skip
        return self._update("fill", fill.symbol, said.ts, told)

    def position(self, symbol: str, ts: int) -> Update:
        held = self.state.position(symbol)
        told = {
            "size": self.size(symbol, held.size), "average_price": held.average_price, "realised": held.realised_pnl,
            "unrealised": held.unrealised_pnl, "fees": held.fees_paid,
        }  # fmt: skip
        return self._update("position", symbol, ts, told)

    def equity(self, ts: int) -> Update:
        """Of the account, quote currency; null where it is not known."""
        of = self.state.holdings
        told = {"equity": of.equity, "peak": of.peak, "day_first": of.day_first, "loss_streak": of.loss_streak}
        return self._update("equity", "", ts, told)

    def mode(self, ts: int, reason: str = "") -> Update:
        return self._update("mode", "", ts, {"mode": self.state.mode.value, "reason": reason, "latched": self.state.latched})
