"""The ledger: a relational database that remembers every intent before it is sent, and what became of it.

    Ledger(url).take(account) -> Lease -> Writer.intend(...) before each send;  standing, fill, ... after

SQLite in WAL mode by default, PostgreSQL by URL. With `synchronous=NORMAL` a commit outlives the process, not a power loss, which the
reconcile at start covers; `FULL` outlives both. What is written is in `core.ledger_writer`, what is read in `core.ledger_reader`, what
any process may do in `core.ledger_control`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from msgspec import Struct
from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from core import ledger_tables as t


class LedgerError(RuntimeError):
    """The ledger cannot be opened or written; the message says what to do."""


class StaleEpoch(LedgerError):
    """Another worker has taken the account over: this one must not send any more."""


class Latched(LedgerError):
    """The kill switch is on, whoever pulled it: nothing is sent but what flattens."""


class Lease(Struct, frozen=True):
    account: str
    epoch: int
    holder: str
    until: int


def url_of(data_dir: Path, url: str = "") -> str:
    return url or f"sqlite:///{data_dir / 'ledger.db'}"


def connected(url: str, synchronous: str = "NORMAL", wait_s: float = 30.0) -> Engine:
    """An engine whose transactions begin at once (a writer waits for another, it never fails half-way)."""
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        if file and file != ":memory:":
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": wait_s, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # we begin transactions ourselves
            for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", f"busy_timeout={round(wait_s * 1000)}"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

        return engine
    options = {} if synchronous == "FULL" else {"options": "-c synchronous_commit=off"}
    return create_engine(url, connect_args=options, pool_pre_ping=True)


class Ledger:
    """Opens and migrates the database. Readers use `read()`; the worker takes a lease and a `Writer`."""

    def __init__(self, url: str, *, synchronous: str = "NORMAL", wait_s: float = 30.0) -> None:
        self.url, self.synchronous = url, synchronous
        try:
            self.engine = connected(url, synchronous, wait_s)
            self._migrate()
        except SQLAlchemyError as error:
            shown = self.engine.url.render_as_string(hide_password=True) if hasattr(self, "engine") else url.rsplit("@", maxsplit=1)[-1]
            raise LedgerError(f"the ledger {shown} cannot be opened: {first_line(error)}. Check SCALP_LEDGER__URL.") from error

    def _migrate(self) -> None:
        from core.migrations import upgrade

        upgrade(self.engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the ledger."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        """A transaction of its own; what fails in it takes all of it back. `durable`: it outlives a power loss, whatever the setting."""
        with self.engine.connect().execution_options(writes=True) as connection:
            sqlite = self.engine.dialect.name == "sqlite"
            if durable and sqlite:
                self._synchronous(connection, "FULL")
            try:
                with connection.begin():
                    if durable and not sqlite:
                        connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
                    yield connection
            finally:
                if durable and sqlite:
                    self._synchronous(connection, self.synchronous)

    def _synchronous(self, connection: Connection, how: str) -> None:
        """Outside of a transaction: SQLite does not change it within one."""
        raw: Any = connection.connection.dbapi_connection
        raw.execute(f"PRAGMA synchronous={how}")

    def take(self, account: str, holder: str, now: int, seconds: float) -> Lease:
        """Take the account over where nobody holds it (any more). Raises `LedgerError` that names the holder."""
        with self.write(durable=True) as connection:  # a power loss must not give an epoch, and with it order ids, out again
            if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
                connection.exec_driver_sql("LOCK TABLE leases IN SHARE ROW EXCLUSIVE MODE")
            row = connection.execute(select(t.leases).where(t.leases.c.account == account).with_for_update()).first()
            if row is not None and row.until > now and row.holder != holder:
                left = (row.until - now) / 1e9
                raise LedgerError(f"{account} is traded by {row.holder} (epoch {row.epoch}); its lease ends in {left:.1f} s unless renewed")
            # Over all accounts: order ids begin with the epoch, and no two orders may have the same.
            newest = connection.execute(select(func.max(t.leases.c.epoch))).scalar() or 0
            epoch, until = newest + 1, now + round(seconds * 1e9)
            values = {"epoch": epoch, "holder": holder, "until": until}
            if row is None:
                connection.execute(insert(t.leases).values(account=account, **values))
            else:
                connection.execute(update(t.leases).where(t.leases.c.account == account).values(**values))
        return Lease(account, epoch, holder, until)

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exit_args: object) -> None:
        self.close()


def first_line(error: Exception) -> str:
    """What the database said, without SQLAlchemy's own words."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
