"""Replay: a session of the engine on recorded frames, with orders, fills and timers, run again many times faster than life.

First the session itself (the engine against the venue's matching kernel, written into a journal), then the same inputs again, from memory
and from the journal on disk as `scalp replay` does. Decisions have to be the same each time before anything counts.
"""

import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import BenchError
from bench.live_sender import tape_of
from bench.live_stage import source
from bench.runner import Say, plain

ROUNDS, FRAMES, TIMER_NS = 5, 150_000, 100_000_000
LEAST = 100_000.0


def take(say: Say) -> list[dict[str, Any]]:
    from kernels.engine import compile_all
    from serving.replay import replay

    what, _, of = source()
    with tempfile.TemporaryDirectory(prefix="scalp-bench-replay-") as scratch:
        folder = Path(scratch) / "local-bench-e1"
        say(f"replay: a session on {of}")
        session = Session(what, folder)
        compile_all(session.plan)
        session.run()
        say("replay: again, from memory")
        times = [session.again() for _ in range(ROUNDS)]
        say("replay: again, from the journal")
        done = [replay(folder) for _ in range(2)]
    if any(one.n_different for one in done):
        raise BenchError(f"replayed from the journal, {done[0].n_different} of {done[0].n_decisions} decisions differ")
    held = f"{of}: {len(session.decisions)} decisions, {done[0].n_orders} orders, all the same when replayed"
    n, low, middle, high = session.n, *np.percentile(times, [25, 50, 75])
    spread = float((high - low) / middle)
    from_disk = min(one.seconds for one in done)
    return [
        plain("replay", "events replayed, from memory", "events/s", n / middle, spread=spread, at_least=LEAST, held=held, n=n),
        plain("replay", "events replayed, from the journal", "events/s", done[0].n_inputs / from_disk, at_least=LEAST, held=held),
        plain("replay", "times life, from the journal", "x", done[0].lived_s / from_disk),
    ]


class Session:
    """One frame a receipt, as a feed that is not crowded brings them."""

    def __init__(self, what: str, folder: Path) -> None:
        import msgspec

        from kernels import engine
        from kernels.engine_plan import Plan, caps
        from kernels.frames_live import Live
        from kernels.matching import Matching
        from kernels.risk_limits import Limits
        from kernels.rule_signals import Rule
        from serving.journal import Journal

        self.tape = tape_of(what)
        symbols = tuple(self.tape.listings)
        far = Limits(max_daily_loss=1e7, max_drawdown=1e7, max_loss_streak=10**6)
        self.plan = Plan(
            venue="local", listings=dict(self.tape.listings), caps=caps(symbols, {}, 10_000.0), limits=far, strategy="restless",
            rule=Rule(2, 3, 2, 3, 2, 2, volume_window=2),
        )  # fmt: skip
        self.start = self.now = self.tape.begin
        self.live = Live(engine.scales(self.plan), keep_unknown_fields=True)
        self.venue = Matching(self.plan.listings, kind=self.tape.kind, leverage=10)
        meta = {"plan": msgspec.to_builtins(self.plan), "plan_hash": self.plan.hash, "started": self.start}
        self.journal = Journal(folder, meta)
        self.inputs: list[Any] = []
        self.decisions: list[Any] = []
        self.n = 0

    def run(self) -> None:
        from core.events import Account, Connected, Timer
        from kernels import engine

        self.state = engine.init(self.plan, self.start)
        for told in (
            Connected(ts=self.now, what="account"), Account(ts=self.now, positions=(), balances=(), clean=True),
            Connected(ts=self.now, what="market"),
        ):  # fmt: skip
            self.put(told)
        timer = self.start
        for frame in self.tape.frames():
            if self.n >= FRAMES:
                break
            if not frame.stream:
                continue
            self.now = frame.ts
            while timer <= frame.ts:
                self.put(Timer(ts=timer))
                timer += TIMER_NS
            payloads = [b'{"stream":"%b","data":%b}' % (frame.stream.encode(), frame.data)]
            batch = self.live.decode(payloads, frame.ts)
            self.venue.market(batch, frame.ts)
            self.heard()
            seq = self.journal.frames(payloads, frame.ts)
            self.inputs.append((frame.ts, payloads))
            self.n += 1
            self.act(seq, engine.step(self.state, batch, self.plan))
        self.journal.close()

    def put(self, told: Any) -> None:
        from kernels import engine

        seq = self.journal.input(told)
        self.inputs.append(told)
        self.n += 1
        self.act(seq, engine.step(self.state, told, self.plan))

    def act(self, seq: int, made: Sequence[Any]) -> None:
        """What was decided happens at once."""
        from core.events import Approved, Cancel, CancelAll, Resync
        from serving.exchange import Whole
        from serving.snapshots import snapshot_of

        if not made:
            return
        self.decisions += made
        self.journal.decisions(seq, made)
        for decision in made:
            if isinstance(decision, Approved):
                self.send(decision.order)
            elif isinstance(decision, Cancel):
                self.venue.cancel(self.now, decision.symbol, client_id=decision.order_id)
            elif isinstance(decision, CancelAll):
                for symbol in decision.symbols:
                    self.venue.cancel_all(self.now, symbol)
            elif isinstance(decision, Resync) and decision.symbol in self.tape.snapshots:
                whole = Whole(symbol=decision.symbol, text=self.tape.snapshots[decision.symbol], ts_recv=self.now)
                told = snapshot_of(whole, self.plan.listings[decision.symbol])
                bids, asks = (np.array(side, np.int64).T for side in (told.bids, told.asks))
                self.venue.snapshot(self.now, decision.symbol, bids, asks, told.update_id)
                self.put(told)
        self.heard()

    def send(self, order: Any) -> None:
        from core.events import Ordered
        from core.orders import Standing, Status
        from kernels.matching_words import New, Refusal

        new = New(
            client_id=order.order_id, symbol=order.symbol, side=order.side, size=order.size, price=order.price, tif=order.tif,
            reduce_only=order.reduce_only,
        )  # fmt: skip
        if isinstance(said := self.venue.place(self.now, new), Refusal):
            standing = Standing(order_id=order.order_id, symbol=order.symbol, status=Status.REJECTED, code=said.code, reason=said.text)
            self.put(Ordered(ts=self.now, standing=standing))

    def heard(self) -> None:
        """User data of what happened at the venue."""
        from core.events import Filled, Ordered
        from core.orders import Fill, Standing
        from kernels.matching_words import OrderUpdate

        for update in self.venue.taken():
            if not isinstance(update, OrderUpdate):
                continue
            if update.fill is not None:
                fill: Any = {name: getattr(update.fill, name) for name in Fill.__struct_fields__}
                self.put(Filled(ts=self.now, fill=Fill(**(fill | {"ts_recv": self.now}))))
            of = update.order
            standing = Standing(
                order_id=of.client_id, symbol=of.symbol, status=of.status, filled=of.filled, side=of.side, price=of.price, size=of.size
            )
            self.put(Ordered(ts=self.now, standing=standing))

    def again(self) -> float:
        """Seconds that the same inputs take in a fresh engine. Raises `BenchError` where it decides otherwise."""
        from kernels import engine
        from kernels.engine_receipts import decoded
        from kernels.frames_live import Live

        state, made = engine.init(self.plan, self.start), []
        live = Live(engine.scales(self.plan), keep_unknown_fields=True)
        gc.collect()
        began = time.perf_counter()
        for told in decoded(live, self.inputs):
            if decisions := engine.step(state, told, self.plan):
                made += decisions
        took = time.perf_counter() - began
        if repr(made) != repr(self.decisions):
            raise BenchError("replayed from memory, the engine decides otherwise")
        return took
