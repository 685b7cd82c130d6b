"""What any process may do with an account: latch the kill switch, re-arm it, ask the worker for something, note evidence.

The kill switch is latched here before anybody is told, so it stays on whatever dies next. Commands are idempotent by key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from core import ledger_tables as t
from core.events import Incident
from core.ledger import Lease, Ledger, LedgerError, first_line

KILL_FILE = "KILL"  # in the data folder: the kill switch of those who cannot reach the ledger


@contextmanager
def reached(_: Ledger) -> Iterator[None]:
    """What the database refuses within becomes a `LedgerError`: whoever pulls the kill switch goes on by other ways."""
    try:
        yield
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger cannot be written: {first_line(error)}") from error


class Latch(dict[str, Any]):
    """`latched`, `reason`, `who`, `ts`."""


def latched(connection: Connection, account: str) -> Latch | None:
    """Why the account is blocked; None where it is not."""
    row = connection.execute(select(t.latches).where(t.latches.c.account == account)).first()
    return Latch(row._mapping) if row is not None and row.latched else None


def latch(ledger: Ledger, account: str, reason: str, who: str, now: int) -> bool:
    """Block the account until a person re-arms it; False where it was blocked already (the first reason stays)."""
    return _set(ledger, account, True, reason, who, now)


def rearm(ledger: Ledger, account: str, reason: str, who: str, now: int) -> bool:
    """Let the account trade again; False where it was not blocked. Raises `ValueError` without a reason."""
    if not reason.strip():
        raise ValueError("re-arming needs a reason: it is kept in the ledger")
    return _set(ledger, account, False, reason, who, now)


def _set(ledger: Ledger, account: str, on: bool, reason: str, who: str, now: int) -> bool:
    values = {"latched": on, "reason": reason, "who": who, "ts": now}
    with ledger.write(durable=True) as connection:
        row = connection.execute(select(t.latches).where(t.latches.c.account == account).with_for_update()).first()
        if (row is not None and row.latched) == on:
            return False
        if row is None:
            connection.execute(insert(t.latches).values(account=account, **values))
        else:
            connection.execute(update(t.latches).where(t.latches.c.account == account).values(**values))
        what = "latched" if on else "re-armed"
        connection.execute(insert(t.audit).values(account=account, ts=now, who=who, what=what, detail=reason))
    return True


def ask(ledger: Ledger, account: str, key: str, kind: str, who: str, now: int, *, reason: str = "", asked: Any = None) -> dict[str, Any]:
    """Leave a command for the worker; the same key again is the same command, and gives its answer (`answer` is None until it came)."""
    row = {"account": account, "key": key, "kind": kind, "who": who, "reason": reason, "asked": asked, "answer": None, "ts": now}
    try:
        with ledger.write() as connection:
            connection.execute(insert(t.commands), row)
            connection.execute(insert(t.audit).values(account=account, ts=now, who=who, what=kind, detail=f"{key}: {reason}"))
    except IntegrityError:
        with ledger.read() as connection:
            of = t.commands.c
            found = connection.execute(select(t.commands).where((of.account == account) & (of.key == key))).one()
            return dict(found._mapping)
    return row


def waiting(connection: Connection, account: str) -> list[dict[str, Any]]:
    """Commands without an answer, oldest first."""
    of = t.commands.c
    query = select(t.commands).where((of.account == account) & of.answer.is_(None)).order_by(of.ts, of.key)
    return [dict(row._mapping) for row in connection.execute(query)]


def answer(ledger: Ledger, account: str, key: str, told: dict[str, Any]) -> None:
    of = t.commands.c
    with ledger.write() as connection:
        connection.execute(update(t.commands).where((of.account == account) & (of.key == key)).values(answer=told))


def answered(connection: Connection, account: str, key: str) -> dict[str, Any] | None:
    """What a command was answered; None where it waits, or where there is none."""
    of = t.commands.c
    return connection.execute(select(of.answer).where((of.account == account) & (of.key == key))).scalar()


def note(ledger: Ledger, account: str, kind: str, ts: int, value: float = 1.0) -> None:
    """Evidence that live trading asks for: `kill_drill`, `reconciled`, `paper_seconds`."""
    with ledger.write() as connection:
        connection.execute(insert(t.evidence).values(account=account, kind=kind, ts=ts, value=value))


def noted(connection: Connection, account: str, kind: str, since: int = 0) -> tuple[float, int]:
    """(sum of the values, time of the newest) of a kind of evidence, (0, 0) where there is none. `account` empty: of all."""
    of = t.evidence.c
    query = select(of.value, of.ts).where((of.kind == kind) & (of.ts >= since))
    rows = connection.execute(query.where(of.account == account) if account else query).all()
    return sum(float(row.value) for row in rows), max((int(row.ts) for row in rows), default=0)


def last_noted(connection: Connection, account: str, kind: str) -> tuple[float, int] | None:
    """(value, time) of the newest evidence of a kind; None where there is none. `account` empty: of all."""
    of = t.evidence.c
    query = select(of.value, of.ts).where(of.kind == kind).order_by(of.ts.desc(), of.id.desc()).limit(1)
    row = connection.execute(query.where(of.account == account) if account else query).first()
    return None if row is None else (float(row.value), int(row.ts))


def leases(connection: Connection) -> list[Lease]:
    """Every account that a worker ever held, with who held it last; the newest epoch first."""
    rows = connection.execute(select(t.leases).order_by(t.leases.c.epoch.desc()))
    return [Lease(row.account, row.epoch, row.holder, row.until) for row in rows]


def latches(connection: Connection) -> dict[str, Latch]:
    """The accounts that are blocked."""
    return {row.account: Latch(row._mapping) for row in connection.execute(select(t.latches).where(t.latches.c.latched))}


def rearmed_at(connection: Connection, account: str) -> int:
    """When the account was re-armed last; 0 where it never was, or is blocked."""
    row = connection.execute(select(t.latches).where(t.latches.c.account == account)).first()
    return int(row.ts) if row is not None and not row.latched else 0


def tell(ledger: Ledger, account: str, told: Incident) -> None:
    """An incident, by a process that is not the worker."""
    with ledger.write() as connection:
        connection.execute(insert(t.incidents).values(account=account, ts=told.ts, kind=told.kind, symbol=told.symbol, detail=told.detail))
