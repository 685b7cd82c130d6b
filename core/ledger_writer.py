"""What the worker writes into the ledger: intents, what became of them, fills, signals, verdicts, incidents, equity."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from core import ledger_tables as t
from core.events import Incident, Signal
from core.ledger import Latched, Lease, Ledger, LedgerError, StaleEpoch
from core.ledger_statements import Statements
from core.orders import Fill, Order, Purpose, Standing, Status

# Built once: to build a statement costs more than to run it.
HOLDER = (
    select(t.leases.c.epoch, t.leases.c.holder, t.latches.c.latched, t.latches.c.reason)
    .select_from(t.leases.outerjoin(t.latches, t.latches.c.account == t.leases.c.account))
    .where(t.leases.c.account == bindparam("account"))
    .with_for_update(read=True, of=t.leases)  # PostgreSQL: nobody takes it over between this look and what is written after it
)
INTEND = insert(t.orders)
STANDS = select(t.orders.c.status, t.orders.c.filled).where(t.orders.c.order_id == bindparam("order"))
CHANGE = update(t.orders).where(t.orders.c.order_id == bindparam("order"))
CHANGED = insert(t.order_events)
FILLED = select(t.fills.c.trade_id).where(
    (t.fills.c.account == bindparam("account")) & (t.fills.c.symbol == bindparam("symbol")) & (t.fills.c.trade_id == bindparam("trade_id"))
)
FILL, SIGNAL, VERDICT, INCIDENT, EQUITY = (insert(table) for table in (t.fills, t.signals, t.decisions, t.incidents, t.equity))
RENEW = update(t.leases).where(t.leases.c.account == bindparam("of"))
RELEASE = RENEW.where(t.leases.c.epoch == bindparam("at"))
POSITION, COMPARED = insert(t.positions), insert(t.compared)
REPLACE, FURTHER = (
    update(table).where((table.c.account == bindparam("of")) & (table.c.symbol == bindparam("symbol_of")))
    for table in (t.positions, t.compared)
)


class Writer:
    """The only writer of an account's orders; it belongs to one thread. Calls commit before they return, unless within `batch()`."""

    def __init__(self, ledger: Ledger, lease: Lease, *, session: str = "") -> None:
        self.lease, self.account, self.session = lease, lease.account, session
        self._connection = ledger.engine.connect()
        self._statements = Statements(self._connection)
        self._depth = 0

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction for all that is written within; what fails in it takes all of it back."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self._depth = 1
        try:
            yield
        except BaseException:
            self._statements.rollback()
            raise
        else:
            self._statements.commit()
        finally:
            self._depth = 0

    def _run(self, statement: Any, row: dict[str, Any]) -> Any:
        """The driver's cursor, good until the next statement."""
        if self._depth:
            return self._statements.run(statement, row)
        with self.batch():
            return self._statements.run(statement, row)

    def _first(self, statement: Any, row: dict[str, Any]) -> Any:
        """The first row of an answer as a tuple; None where there is none."""
        return self._run(statement, row).fetchone()

    # The lease

    def check(self) -> str:
        """Why the kill switch is on, empty where it is not. Raises `StaleEpoch` where another worker has taken over."""
        epoch, holder, latched, reason = self._first(HOLDER, {"account": self.account}) or (None, "", False, "")
        if epoch != self.lease.epoch:
            who = "nobody" if epoch is None else f"{holder} (epoch {epoch})"
            raise StaleEpoch(f"{self.account} is now held by {who}; epoch {self.lease.epoch} sends nothing any more")
        return (reason or "no reason given") if latched else ""

    def renew(self, now: int, seconds: float) -> None:
        with self.batch():
            self.check()
            self._run(RENEW, {"of": self.account, "until": now + round(seconds * 1e9)})

    def release(self, now: int) -> None:
        """Let the next worker in at once."""
        self._run(RELEASE, {"of": self.account, "at": self.lease.epoch, "until": now})

    # Orders and fills

    def intend(self, order: Order, *, seq: int, epoch: int | None = None) -> None:
        """Write an order down before it is sent. Raises `StaleEpoch`, `Latched` (only what flattens is sent then), and `LedgerError` for
        an id that is there already."""
        with self.batch():
            if (why := self.check()) and order.purpose is not Purpose.FLATTEN:
                raise Latched(f"the kill switch is on: {why}")
            try:
                self._run(INTEND, self._row(order, seq, Status.INTENT, epoch))
            except IntegrityError as error:
                raise LedgerError(f"an order {order.order_id} is in the ledger already: it is not sent twice") from error

    def rehearse(self, order: Order) -> None:
        """All that `intend` does but the commit: nothing of it stays. Does nothing where the ledger is not in this process's files, so that
        no time on the network is spent on it."""
        if not self._statements.embedded:
            return
        try:
            self.check()
            self._statements.run(INTEND, self._row(order, 0, Status.INTENT))
        finally:
            self._statements.rollback()

    def _row(self, order: Order, seq: int, status: Status, epoch: int | None = None) -> dict[str, Any]:
        return {
            "order_id": order.order_id, "account": self.account, "symbol": order.symbol, "side": order.side.value,
            "kind": order.kind.value, "tif": order.tif.value, "price": order.price, "size": order.size, "reduce_only": order.reduce_only,
            "stop_price": order.stop_price,
            "purpose": order.purpose.value, "epoch": self.lease.epoch if epoch is None else epoch, "session": self.session, "seq": seq,
            "status": status.value, "ts": order.ts, "ts_changed": order.ts,
        }  # fmt: skip

    def standing(self, told: Standing, ts: int) -> bool:
        """What became of an order; False where nothing changed, or where it is older than what is known (filled size never falls)."""
        with self.batch():
            row = self._first(STANDS, {"order": told.order_id})
            if row is None:
                return False
            was, filled = Status(row[0]), row[1]
            over = not was.is_open and told.status.is_open
            over |= told.status is Status.UNKNOWN and was not in (Status.INTENT, Status.SENT)  # it is known by now
            if over or told.filled < filled or (was == told.status and filled == told.filled):
                return False
            changed: dict[str, Any] = {"order": told.order_id, "status": told.status.value, "filled": told.filled, "ts_changed": ts}
            changed |= {"venue_id": told.venue_id} if told.venue_id else {}
            changed |= {"reason": told.reason} if told.reason else {}
            self._run(CHANGE, changed)
            event_row = {
                "order_id": told.order_id, "status": told.status.value, "filled": told.filled, "ts": ts, "code": told.code,
                "reason": told.reason,
            }  # fmt: skip
            self._run(CHANGED, event_row)
        return True

    def fill(self, fill: Fill) -> bool:
        """Write a fill down; False where it is there already."""
        row = {
            "account": self.account, "symbol": fill.symbol, "trade_id": fill.trade_id, "order_id": fill.order_id, "side": fill.side.value,
            "price": fill.price, "size": fill.size, "maker": fill.maker, "fee": fill.fee, "fee_asset": fill.fee_asset,
            "ts_event": fill.ts_event, "ts_recv": fill.ts_recv,
        }  # fmt: skip
        with self.batch():
            if self._first(FILLED, {"account": self.account, "symbol": fill.symbol, "trade_id": fill.trade_id}) is not None:
                return False
            self._run(FILL, row)
        return True

    # What was thought and decided

    def signal(self, told: Signal, seq: int) -> None:
        row = {
            "account": self.account, "session": self.session, "seq": seq, "ts": told.ts, "ts_bar": told.ts_bar, "symbol": told.symbol,
            "rule": told.rule, "rule_score": told.rule_score, "model": told.model, "model_score": told.model_score, "fused": told.fused,
            "strength": told.strength, "version": told.version, "features": told.features, "price": told.price, "values": list(told.values),
        }  # fmt: skip
        self._run(SIGNAL, row)

    def verdict(self, order: Order, verdict: str, detail: str, *, seq: int, version: str = "", features: str = "") -> None:
        row = {
            "account": self.account, "session": self.session, "seq": seq, "ts": order.ts, "order_id": order.order_id,
            "symbol": order.symbol, "verdict": verdict, "detail": detail, "signal_seq": order.signal, "version": version,
            "features": features,
        }  # fmt: skip
        self._run(VERDICT, row)

    def incident(self, told: Incident) -> None:
        row = {"account": self.account, "ts": told.ts, "kind": told.kind, "symbol": told.symbol, "detail": told.detail}
        self._run(INCIDENT, row)

    def equity(self, ts: int, **money: float) -> None:
        """`equity`, `realised`, `unrealised`, `fees`, `funding`, `peak`, `day_start`, in quote currency."""
        self._run(EQUITY, {"account": self.account, "ts": ts, **money})

    def position(self, symbol: str, size: int, entry_price: float, realised: float, ts: int) -> None:
        values = {"size": size, "entry_price": entry_price, "realised": realised, "ts": ts}
        with self.batch():
            if not self._run(REPLACE, {"of": self.account, "symbol_of": symbol, **values}).rowcount:
                self._run(POSITION, {"account": self.account, "symbol": symbol, **values})

    def compared(self, symbol: str, trade_id: int) -> None:
        """Our fills of a symbol up to this trade id are the venue's."""
        with self.batch():
            if not self._run(FURTHER, {"of": self.account, "symbol_of": symbol, "trade_id": trade_id}).rowcount:
                self._run(COMPARED, {"account": self.account, "symbol": symbol, "trade_id": trade_id})
