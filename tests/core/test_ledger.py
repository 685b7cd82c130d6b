"""Nothing is sent that is not in the ledger, nothing is counted twice, and one worker at a time sends: on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import inspect, select

from core import ledger_control as control
from core import ledger_reader as reader
from core import ledger_tables as tables
from core.events import Incident, Signal
from core.ledger import Latched, Ledger, LedgerError, StaleEpoch, url_of
from core.ledger_writer import Writer
from core.market import Side
from core.orders import Fill, Order, Purpose, Standing, Status, client_id
from tests.core.ledgers import postgres, postgres_binaries

ACCOUNT = "local/paper"
S = 1_000_000_000


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if postgres_binaries() is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    url = url_of(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with Ledger(url) as opened:
        yield opened
        if request.param == "postgresql":
            tables.metadata.drop_all(opened.engine)
            with opened.write() as connection:
                connection.exec_driver_sql("DROP TABLE alembic_version")


@pytest.fixture
def writer(ledger: Ledger) -> Iterator[Writer]:
    made = Writer(ledger, ledger.take(ACCOUNT, "one", 0, 5.0), session="s")
    yield made
    made.close()


def order(n: int = 1, size: int = 5) -> Order:
    return Order(order_id=client_id(1, n), symbol="BTCUSDT", side=Side.BUY, size=size, price=70, ts=n)


def fill(trade_id: int, size: int = 5, side: Side = Side.BUY, n: int = 1) -> Fill:
    return Fill(
        order_id=client_id(1, n), symbol="BTCUSDT", trade_id=trade_id, side=side, price=70, size=size, maker=True, fee=3,
        fee_asset="USDT", ts_event=trade_id,
    )  # fmt: skip


def told(status: Status, filled: int = 0, n: int = 1) -> Standing:
    return Standing(order_id=client_id(1, n), symbol="BTCUSDT", status=status, filled=filled)


def test_the_migrations_make_the_tables_that_the_code_names(ledger: Ledger):
    found = inspect(ledger.engine)
    for table in tables.metadata.sorted_tables:
        columns = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
        assert columns == {c.name: c.nullable for c in table.columns}, table.name
    with Ledger(ledger.engine.url.render_as_string(hide_password=False)) as again:
        assert inspect(again.engine).get_table_names() == found.get_table_names()


def test_an_intent_is_open_until_it_is_known_to_be_over(ledger: Ledger, writer: Writer):
    writer.intend(order(), seq=7)
    for status, filled in ((Status.SENT, 0), (Status.UNKNOWN, 0), (Status.NEW, 0), (Status.PARTIAL, 2)):
        assert writer.standing(told(status, filled), 9)
        with ledger.read() as connection:
            [(intent, standing)] = reader.open_orders(connection, ACCOUNT)
            assert (intent.order_id, intent.signal, standing.status, standing.filled) == (client_id(1, 1), 7, status, filled)
    assert writer.standing(told(Status.FILLED, 5), 10)
    with ledger.read() as connection:
        assert reader.open_orders(connection, ACCOUNT) == []


def test_an_order_is_never_written_twice(writer: Writer):
    writer.intend(order(), seq=1)
    with pytest.raises(LedgerError, match="not sent twice"):
        writer.intend(order(), seq=2)


@pytest.mark.parametrize(
    ("late", "why"),
    [
        (told(Status.NEW), "over is over"),
        (told(Status.PARTIAL, 3), "filled never falls"),
        (told(Status.FILLED, 5), "known already"),
        (told(Status.NEW, n=99), "not ours"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_old_news_changes_nothing(ledger: Ledger, writer: Writer, late: Standing, why: str):
    writer.intend(order(), seq=1)
    assert writer.standing(told(Status.FILLED, 5), 5)
    assert not writer.standing(late, 6), why
    with ledger.read() as connection:
        found = reader.order(connection, client_id(1, 1))
    assert found is not None
    assert (found[1].status, found[1].filled) == (Status.FILLED, 5)


def test_a_fill_counts_once_and_positions_are_the_sum_of_fills(ledger: Ledger, writer: Writer):
    assert writer.fill(fill(1, 5))
    assert not writer.fill(fill(1, 5))
    assert writer.fill(fill(2, 3, Side.SELL))
    with ledger.read() as connection:
        assert reader.positions(connection, ACCOUNT) == {"BTCUSDT": 2}
        assert reader.last_trade_id(connection, ACCOUNT, "BTCUSDT") == 2
        assert [f.trade_id for f in reader.fills(connection, ACCOUNT, "BTCUSDT")] == [1, 2]


def test_what_fails_within_a_batch_takes_all_of_it_back(ledger: Ledger, writer: Writer):
    with pytest.raises(LedgerError), writer.batch():
        writer.intend(order(), seq=1)
        writer.fill(fill(1))
        writer.intend(order(), seq=2)
    with ledger.read() as connection:
        assert reader.open_orders(connection, ACCOUNT) == []
        assert reader.positions(connection, ACCOUNT) == {}
    writer.intend(order(), seq=3)


def test_an_account_that_is_held_is_not_taken(ledger: Ledger, writer: Writer):
    with pytest.raises(LedgerError, match=r"traded by one \(epoch 1\)"):
        ledger.take(ACCOUNT, "two", 4 * S, 5.0)
    writer.renew(4 * S, 5.0)
    with pytest.raises(LedgerError, match="traded by one"):
        ledger.take(ACCOUNT, "two", 8 * S, 5.0)
    writer.release(8 * S)
    assert ledger.take(ACCOUNT, "two", 8 * S, 5.0).epoch == 2


def test_a_worker_whose_lease_was_taken_sends_nothing(ledger: Ledger, writer: Writer):
    writer.intend(order(1), seq=1)
    second = ledger.take(ACCOUNT, "two", 6 * S, 5.0)
    for attempt in (lambda: writer.intend(order(2), seq=2), writer.check, lambda: writer.renew(6 * S, 5.0)):
        with pytest.raises(StaleEpoch, match=r"held by two \(epoch 2\)"):
            attempt()
    writer.release(6 * S)  # gives away nothing that it does not hold
    other = Writer(ledger, second)
    other.check()
    other.close()


def test_the_kill_switch_stays_on_until_a_person_gives_a_reason(ledger: Ledger):
    assert control.latch(ledger, ACCOUNT, "lost too much", "worker", 1)
    assert not control.latch(ledger, ACCOUNT, "again", "worker", 2)
    with Ledger(ledger.engine.url.render_as_string(hide_password=False)) as restarted, restarted.read() as connection:
        held = control.latched(connection, ACCOUNT)
        assert held is not None
        assert held["reason"] == "lost too much"
        assert control.latched(connection, "other") is None
    with pytest.raises(ValueError, match="needs a reason"):
        control.rearm(ledger, ACCOUNT, " ", "me", 3)
    assert control.rearm(ledger, ACCOUNT, "looked at it", "me", 3)
    assert not control.rearm(ledger, ACCOUNT, "looked at it", "me", 4)
    with ledger.read() as connection:
        assert control.latched(connection, ACCOUNT) is None
        assert [row["what"] for row in reader.rows(connection, tables.audit, ACCOUNT)] == ["re-armed", "latched"]


def test_nothing_but_what_flattens_is_written_down_for_sending_while_the_kill_switch_is_on(ledger: Ledger, writer: Writer):
    control.latch(ledger, ACCOUNT, "lost too much", "guard", 1)
    with pytest.raises(Latched, match="lost too much"), writer.batch():
        writer.intend(order(1), seq=1)
    writer.intend(replace(order(2), purpose=Purpose.FLATTEN), seq=2)
    control.rearm(ledger, ACCOUNT, "looked at it", "me", 3)
    writer.intend(order(3), seq=3)
    with ledger.read() as connection:
        assert [one.order_id for one, _ in reader.open_orders(connection, ACCOUNT)] == [client_id(1, 2), client_id(1, 3)]


def test_who_holds_what_is_known_to_everybody(ledger: Ledger, writer: Writer):
    ledger.take("b/main", "two", 0, 5.0)
    with ledger.read() as connection:
        assert [(lease.account, lease.holder) for lease in control.leases(connection)] == [("b/main", "two"), (ACCOUNT, "one")]
        assert control.latches(connection) == {}
        assert control.rearmed_at(connection, ACCOUNT) == 0
    control.latch(ledger, ACCOUNT, "why", "me", 1)
    with ledger.read() as connection:
        assert list(control.latches(connection)) == [ACCOUNT]
    control.rearm(ledger, ACCOUNT, "because", "me", 7)
    with ledger.read() as connection:
        assert control.rearmed_at(connection, ACCOUNT) == 7


def test_a_command_with_the_same_key_is_the_same_command(ledger: Ledger):
    assert control.ask(ledger, ACCOUNT, "k", "flatten", "me", 1)["answer"] is None
    with ledger.read() as connection:
        assert [row["key"] for row in control.waiting(connection, ACCOUNT)] == ["k"]
    control.answer(ledger, ACCOUNT, "k", {"done": True})
    assert control.ask(ledger, ACCOUNT, "k", "flatten", "me", 2)["answer"] == {"done": True}
    with ledger.read() as connection:
        assert control.waiting(connection, ACCOUNT) == []


def test_evidence_adds_up(ledger: Ledger):
    for ts in (1, 5, 9):
        control.note(ledger, ACCOUNT, "paper_seconds", ts, 10.0)
    with ledger.read() as connection:
        assert control.noted(connection, ACCOUNT, "paper_seconds") == (30.0, 9)
        assert control.noted(connection, ACCOUNT, "paper_seconds", since=5) == (20.0, 9)
        assert control.noted(connection, ACCOUNT, "kill_drill") == (0.0, 0)


def test_an_order_tells_its_story(ledger: Ledger, writer: Writer):
    signal = Signal(
        ts=1, symbol="BTCUSDT", ts_bar=1, rule=1, rule_score=0.5, model=0, model_score=0.0, fused=1, strength=0.4, version="v",
        features="ab" * 8, price=70.0,
    )  # fmt: skip
    intent = Order(order_id=client_id(1, 1), symbol="BTCUSDT", side=Side.BUY, size=5, price=70, ts=2, signal=41)
    with writer.batch():
        writer.signal(signal, 41)
        writer.intend(intent, seq=42)
        writer.verdict(intent, "approved", "", seq=42, version="v", features="ab" * 8)
    writer.standing(told(Status.FILLED, 5), 3)
    writer.fill(fill(9))
    writer.incident(Incident(ts=3, kind="foreign_order", detail="x"))
    writer.equity(3, equity=1.0, realised=0.0, unrealised=0.0, fees=0.0, funding=0.0, peak=1.0, day_start=1.0)
    with ledger.read() as connection:
        story = reader.story(connection, client_id(1, 1))
        assert story is not None
        assert (story["verdict"]["verdict"], story["signal"]["strength"], story["fills"][0]["trade_id"]) == ("approved", 0.4, 9)
        assert [event["status"] for event in story["events"]] == ["filled"]
        assert reader.story(connection, "sc9-9") is None
        assert [row["kind"] for row in reader.rows(connection, tables.incidents, ACCOUNT)] == ["foreign_order"]
        assert (reader.latest_equity(connection, ACCOUNT) or {})["equity"] == 1.0


@pytest.mark.parametrize("url", ["sqlite:////proc/no/ledger.db", "postgresql+psycopg://me:secret@127.0.0.1:1/x"], ids=["path", "server"])
def test_a_ledger_that_cannot_be_opened_says_so_without_the_password(url: str):
    with pytest.raises((LedgerError, OSError)) as told_error:
        Ledger(url)
    assert "secret" not in str(told_error.value)


def test_a_rehearsal_leaves_nothing_and_holds_nobody_up(ledger: Ledger, writer: Writer):
    writer.rehearse(order())
    writer.intend(order(), seq=1)
    writer.rehearse(order(2))
    with ledger.write() as connection:
        assert [row.order_id for row in connection.execute(select(tables.orders.c.order_id))] == [client_id(1, 1)]
    ledger.take(ACCOUNT, "two", 10 * S, 5.0)
    if ledger.engine.dialect.name == "sqlite":
        with pytest.raises(StaleEpoch):
            writer.rehearse(order(3))
