"""What a person sees of a session: plain lines as things happen, a status now and then; or the lines of /stream."""

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.markup import escape

from scalp.console import counted, out
from scalp.live_wanted import key_path

if TYPE_CHECKING:
    from core.settings import Settings
    from serving.fanout import FanOut
    from serving.launch import Launched
    from serving.stream import Stream


class Shown:
    """Plain lines, or JSON lines."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.began = time.monotonic()
        self.fills = self.orders = self.refusals = self.signals = 0

    def line(self, text: str) -> None:
        if self.as_json:
            print(json.dumps({"type": "line", "text": text}), flush=True)
        else:
            out.print(f"[dim]{datetime.now(UTC):%H:%M:%S}[/dim] {escape(text)}", soft_wrap=True)

    def update(self, kind: str, text: bytes) -> None:
        """What clients of /stream hear."""
        self.fills += kind == "fill"
        self.orders += kind == "order" and b'"status":"sent"' in text
        self.refusals += kind == "refused"
        self.signals += kind == "signal"
        if self.as_json:
            print(text.decode(), flush=True)
            return
        if kind not in ("fill", "refused", "incident", "mode", "command"):
            return
        told = json.loads(text)
        match kind:
            case "fill":
                maker = "maker" if told["maker"] else "taker"
                fee = f"fee {told['fee']} {told['fee_asset']}, {maker}, order {told['order_id']}"
                self.line(f"fill     {told['side']} {told['size']} {told['symbol']} at {told['price']}, {fee}")
            case "refused":
                self.line(
                    f"refused  {told['side']} {told['size']} {told.get('symbol', '')} at {told['price']}: {told['code']}, {told['detail']}"
                )
            case "incident":
                self.line(f"incident {told['kind']} {told.get('symbol', '')} {told['detail']}")
            case "mode":
                self.line(f"mode     {told['mode']}: {told['reason']}")
            case "command":
                self.line(f"command  {told['kind']} by {told['who']} {told['reason']}")

    def status(self, launched: "Launched") -> None:
        if self.as_json:
            return
        worker = launched.worker
        held = [f"{self._held(launched, s)} {s}" for s in launched.plan.symbols]
        health = "" if worker.healthy else f" · NOT HEALTHY: {worker.failed or f'the feed is silent for {worker.muted_s:.0f} s'}"
        self.line(
            f"status   {worker.state.mode.value} · {worker.seq:,} inputs · {self.signals:,} signals · {self.orders} orders, "
            f"{self.fills} fills, {self.refusals} refused · holds {', '.join(held)} · equity {worker.state.holdings.equity:,.2f}{health}"
        )

    @staticmethod
    def _held(launched: "Launched", symbol: str) -> str:
        size = launched.worker.state.position(symbol).size
        return f"{size * 10 ** -launched.plan.listings[symbol].instrument.size_decimals:g}"

    def end(self, launched: "Launched") -> None:
        state = launched.worker.state
        equity = state.holdings.equity
        held = [f"{self._held(launched, s)} {s}" for s in launched.plan.symbols if state.position(s).size]
        self.line(
            f"stopped after {time.monotonic() - self.began:.0f} s: {counted(self.orders, 'order')}, {counted(self.fills, 'fill')}, "
            f"equity {equity:,.2f} ({equity - launched.plan.capital:+,.2f}){'; still holds ' + ', '.join(held) if held else ''}; "
            f"journal {launched.folder}"
        )


def told_what(launched: "Launched", stream: "Stream", fanout: "FanOut", config: "Settings", shown: Shown) -> None:
    """What runs now, and where."""
    plan = launched.plan
    paper = "paper: no real money" if launched.wanted.paper else "LIVE: real money"
    shown.line(f"trading {', '.join(plan.symbols)} on {plan.venue} ({paper})")
    warm = max(plan.rule.sma_slow, plan.rule.ema_slow + plan.rule.ema_signal, plan.rule.rsi + 1, plan.rule.volume_window)
    shown.line(f"the first signal comes when the rule has seen {warm} bars of a second")
    shown.line(f"strategy {plan.strategy}, plan {plan.hash}, caps {', '.join(f'{s} {cap:,.0f}' for s, cap in plan.caps.items())}")
    shown.line(f"API {stream.url}  stream {stream.url.replace('http', 'ws', 1)}/stream  many clients {fanout.url}")
    key = "SCALP_STREAM__API_KEY" if config.stream.api_key.get_secret_value() else str(key_path(config))
    shown.line(f"the API key of {stream.url}/api/v1/trading/execute is in {key}; Ctrl-C stops in order")
