"""What the ledger knows: open orders, fills, positions, the latest equity, and the way back from an order to its reasons."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, case, func, select

from core import ledger_tables as t
from core.market import Side
from core.orders import OPEN, Fill, Kind, Order, Purpose, Standing, Status, Tif


def order_of(row: Any) -> Order:
    """A row of `orders` as the intent it was."""
    return Order(
        order_id=row.order_id, symbol=row.symbol, side=Side(row.side), size=row.size, price=row.price, kind=Kind(row.kind),
        tif=Tif(row.tif), reduce_only=row.reduce_only, purpose=Purpose(row.purpose), ts=row.ts, signal=row.seq,
        stop_price=row.stop_price,
    )  # fmt: skip


def standing_of(row: Any) -> Standing:
    """A row of `orders` as it stands."""
    return Standing(
        order_id=row.order_id, symbol=row.symbol, status=Status(row.status), filled=row.filled, venue_id=row.venue_id, side=Side(row.side),
        price=row.price, size=row.size, reduce_only=row.reduce_only, ts_event=row.ts_changed, reason=row.reason,
    )  # fmt: skip


def fill_of(row: Any) -> Fill:
    return Fill(
        order_id=row.order_id, symbol=row.symbol, trade_id=row.trade_id, side=Side(row.side), price=row.price, size=row.size,
        maker=row.maker, fee=row.fee, fee_asset=row.fee_asset, ts_event=row.ts_event, ts_recv=row.ts_recv,
    )  # fmt: skip


def open_orders(connection: Connection, account: str) -> list[tuple[Order, Standing]]:
    """Every order that may still fill, oldest first."""
    of = t.orders.c
    query = select(t.orders).where((of.account == account) & of.status.in_([s.value for s in OPEN])).order_by(of.ts, of.order_id)
    return [(order_of(row), standing_of(row)) for row in connection.execute(query)]


def order(connection: Connection, order_id: str) -> tuple[Order, Standing] | None:
    row = connection.execute(select(t.orders).where(t.orders.c.order_id == order_id)).first()
    return None if row is None else (order_of(row), standing_of(row))


def fills(connection: Connection, account: str, symbol: str = "", *, order_id: str = "", since: int = 0) -> list[Fill]:
    """Our fills in order of time and trade id."""
    of = t.fills.c
    query = select(t.fills).where((of.account == account) & (of.ts_event >= since)).order_by(of.ts_event, of.symbol, of.trade_id)
    if symbol:
        query = query.where(of.symbol == symbol)
    if order_id:
        query = query.where(of.order_id == order_id)
    return [fill_of(row) for row in connection.execute(query)]


def last_trade_id(connection: Connection, account: str, symbol: str) -> int:
    """The newest fill's trade id; 0 where there is none."""
    query = select(func.max(t.fills.c.trade_id)).where((t.fills.c.account == account) & (t.fills.c.symbol == symbol))
    return connection.execute(query).scalar() or 0


def compared(connection: Connection, account: str, symbol: str) -> int:
    """Up to which trade id our fills are known to be the venue's; 0 where they were never compared."""
    of = t.compared.c
    return connection.execute(select(of.trade_id).where((of.account == account) & (of.symbol == symbol))).scalar() or 0


def positions(connection: Connection, account: str) -> dict[str, int]:
    """Signed size of each symbol ever traded: the sum of its fills, size units."""
    signed = case((t.fills.c.side == Side.BUY.value, t.fills.c.size), else_=-t.fills.c.size)
    query = select(t.fills.c.symbol, func.sum(signed)).where(t.fills.c.account == account).group_by(t.fills.c.symbol)
    return {symbol: int(size) for symbol, size in connection.execute(query)}


def latest_equity(connection: Connection, account: str) -> dict[str, float] | None:
    of = t.equity.c
    row = connection.execute(select(t.equity).where(of.account == account).order_by(of.ts.desc(), of.id.desc()).limit(1)).first()
    return None if row is None else dict(row._mapping)


def rows(connection: Connection, table: Table, account: str, *, since: int = 0, limit: int = 100) -> list[dict[str, Any]]:
    """The newest rows of `signals`, `decisions`, `incidents`, `equity` or `orders`, newest first."""
    of = table.c
    last: Sequence[Any] = [of.ts.desc(), of.id.desc()] if "id" in of else [of.ts.desc()]
    query = select(table).where((of.account == account) & (of.ts >= since)).order_by(*last).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]


def story(connection: Connection, order_id: str) -> dict[str, Any] | None:
    """An order, its events and fills, the verdict of risk, and the signal it followed from. None where there is no such order."""
    found = connection.execute(select(t.orders).where(t.orders.c.order_id == order_id)).first()
    verdict = connection.execute(select(t.decisions).where(t.decisions.c.order_id == order_id)).first()
    if found is None and verdict is None:
        return None
    events = connection.execute(select(t.order_events).where(t.order_events.c.order_id == order_id).order_by(t.order_events.c.id)).all()
    made = connection.execute(select(t.fills).where(t.fills.c.order_id == order_id).order_by(t.fills.c.trade_id)).all()
    signal = None
    if verdict is not None:
        of = t.signals.c
        where = (of.session == verdict.session) & (of.seq == verdict.signal_seq) & (of.symbol == verdict.symbol)
        where &= of.version.in_(("", verdict.version))  # not what a shadow said of the same second
        signal = connection.execute(select(t.signals).where(where).order_by(of.ts_bar.desc())).first()  # one input may close several
    as_dict = lambda row: None if row is None else dict(row._mapping)  # noqa: E731
    return {
        "order": as_dict(found), "verdict": as_dict(verdict), "signal": as_dict(signal),
        "events": [dict(row._mapping) for row in events], "fills": [dict(row._mapping) for row in made],
    }  # fmt: skip
