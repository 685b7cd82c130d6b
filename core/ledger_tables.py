"""The ledger's tables: what we meant to do, what became of it, and why. Migrations are in `core/migrations`.

Prices and sizes are whole units of the instrument's decimals, fees whole numbers of 10^-8 of their asset, times UTC ns; money (equity)
is float quote currency, derived and never the basis of a sum. An account is `<venue>/<name>`: one worker at a time may send for it.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only what is called INTEGER


def text(length: int) -> String:
    return String(length)


leases = Table(
    "leases", metadata,
    Column("account", text(80), primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # rises with each holder; an order of an older one is not sent
    Column("holder", text(200), nullable=False),
    Column("until", BigInteger, nullable=False),
)  # fmt: skip

orders = Table(
    "orders", metadata,
    Column("order_id", text(64), primary_key=True),
    Column("account", text(80), nullable=False),
    Column("symbol", text(64), nullable=False),
    Column("side", text(4), nullable=False),
    Column("kind", text(8), nullable=False),
    Column("tif", text(4), nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stop_price", BigInteger, nullable=False, server_default="0"),  # of a stop that waits at the venue
    Column("reduce_only", Boolean, nullable=False),
    Column("purpose", text(16), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("session", text(64), nullable=False, server_default=""),  # of the journal
    Column("seq", BigInteger, nullable=False),  # the input that led to it
    Column("status", text(12), nullable=False),
    Column("filled", BigInteger, nullable=False, server_default="0"),
    Column("venue_id", text(64), nullable=False, server_default=""),
    Column("ts", BigInteger, nullable=False),
    Column("ts_changed", BigInteger, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Index("orders_by_status", "account", "status"),
    Index("orders_by_time", "account", "ts"),
)  # fmt: skip

order_events = Table(
    "order_events", metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("order_id", text(64), ForeignKey("orders.order_id"), nullable=False, index=True),
    Column("status", text(12), nullable=False),
    Column("filled", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("code", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)  # fmt: skip

fills = Table(
    "fills", metadata,
    Column("account", text(80), nullable=False),
    Column("symbol", text(64), nullable=False),
    Column("trade_id", BigInteger, nullable=False),
    Column("order_id", text(64), nullable=False, index=True),  # may be someone else's: then there is an incident too
    Column("side", text(4), nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("maker", Boolean, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("fee_asset", text(32), nullable=False),
    Column("ts_event", BigInteger, nullable=False),
    Column("ts_recv", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "symbol", "trade_id"),
)  # fmt: skip

compared = Table(
    "compared", metadata,  # our fills up to this trade id were compared with the venue's: none before it can be missing
    Column("account", text(80), nullable=False),
    Column("symbol", text(64), nullable=False),
    Column("trade_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "symbol"),
)  # fmt: skip

positions = Table(
    "positions", metadata,
    Column("account", text(80), nullable=False),
    Column("symbol", text(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("entry_price", Float, nullable=False),
    Column("realised", Float, nullable=False),
    Column("ts", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "symbol"),
)  # fmt: skip

equity = Table(
    "equity", metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("account", text(80), nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("equity", Float, nullable=False),
    Column("realised", Float, nullable=False),
    Column("unrealised", Float, nullable=False),
    Column("fees", Float, nullable=False),
    Column("funding", Float, nullable=False),
    Column("peak", Float, nullable=False),
    Column("day_start", Float, nullable=False),
    Index("equity_by_time", "account", "ts"),
)  # fmt: skip

signals = Table(
    "signals", metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("account", text(80), nullable=False),
    Column("session", text(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("ts_bar", BigInteger, nullable=False),
    Column("symbol", text(64), nullable=False),
    Column("rule", Integer, nullable=False),
    Column("rule_score", Float),
    Column("model", Integer, nullable=False),
    Column("model_score", Float),
    Column("fused", Integer, nullable=False),
    Column("strength", Float, nullable=False),
    Column("version", text(64), nullable=False),
    Column("features", text(16), nullable=False),  # hash of the row of features
    Column("price", Float),
    Column("values", JSON, nullable=False),
    Index("signals_by_time", "account", "ts"),
)  # fmt: skip

decisions = Table(
    "decisions", metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("account", text(80), nullable=False),
    Column("session", text(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("order_id", text(64), nullable=False, index=True),
    Column("symbol", text(64), nullable=False),
    Column("verdict", text(32), nullable=False),  # approved, or the code of the refusal
    Column("detail", Text, nullable=False),
    Column("signal_seq", BigInteger, nullable=False),  # of the signal it followed from
    Column("version", text(64), nullable=False),
    Column("features", text(16), nullable=False),
    Index("decisions_by_time", "account", "ts"),
)  # fmt: skip

incidents = Table(
    "incidents", metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("account", text(80), nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("kind", text(64), nullable=False),
    Column("symbol", text(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index("incidents_by_time", "account", "ts"),
)  # fmt: skip

commands = Table(
    "commands", metadata,
    Column("account", text(80), nullable=False),
    Column("key", text(128), nullable=False),
    Column("kind", text(16), nullable=False),
    Column("who", text(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked", JSON(none_as_null=False), nullable=False),
    Column("answer", JSON(none_as_null=True)),  # null: waits for the worker
    Column("ts", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "key"),
)  # fmt: skip

latches = Table(
    "latches", metadata,
    Column("account", text(80), primary_key=True),
    Column("latched", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("who", text(200), nullable=False),
    Column("ts", BigInteger, nullable=False),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("account", text(80), nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("who", text(200), nullable=False),
    Column("what", text(64), nullable=False),
    Column("detail", Text, nullable=False),
)  # fmt: skip

evidence = Table(
    "evidence", metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("account", text(80), nullable=False),
    Column("kind", text(32), nullable=False),  # kill_drill, reconciled, paper_seconds
    Column("ts", BigInteger, nullable=False),
    Column("value", Float, nullable=False),
    Index("evidence_by_kind", "account", "kind", "ts"),
)  # fmt: skip
