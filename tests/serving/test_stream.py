"""The worker's own address: what it tells, what it takes, and what it refuses."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from core import ledger_control, ledger_reader
from core.orders import Status
from serving.venue_faults import Fault
from serving.worker import Rules

pytestmark = [pytest.mark.server, pytest.mark.recordings]


class Client(WSListener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.told.append(json.loads(frame.get_payload_as_bytes()))

    def kinds(self) -> set[str]:
        return {told["type"] for told in self.told}


async def listening(url: str) -> tuple[WSTransport, Client]:
    transport, client = await ws_connect(Client, url, use_aiofastnet=False)
    assert isinstance(client, Client)
    return transport, client


def test_signals_orders_fills_positions_and_equity_are_told(session: Any) -> None:
    async def run() -> None:
        async with session(speed=8.0, trades=True) as trading:
            url = trading.stream.url.replace("http", "ws")
            socket, everything = await listening(f"{url}/stream")
            _, signals = await listening(f"{url}/stream?types=signal,equity&symbols=BTCUSDT")
            await trading.until(lambda: {"signal", "order", "fill", "position", "equity"} <= everything.kinds())
            fill = next(told for told in everything.told if told["type"] == "fill")
            assert fill["symbol"] == "BTCUSDT" and float(fill["price"]) > 1_000 and "." in fill["size"]
            order = next(told for told in everything.told if told["type"] == "order" and told["order_id"] == fill["order_id"])
            assert order["status"] == "sent"
            assert signals.kinds() == {"signal", "equity"}
            found = (await trading.client.get("/api/v1/trading/signals", params={"limit": 3})).json()
            assert found["signals"]["BTCUSDT"] and {"rule", "fused", "strength", "indicators"} <= found["signals"]["BTCUSDT"][0].keys()
            _, late = await listening(f"{url}/stream")
            await asyncio.sleep(0.2)
            assert {"signal", "position", "equity", "mode"} <= late.kinds()
            socket.disconnect()
        with ledger_of(trading).read() as connection:
            kept = ledger_reader.fills(connection, trading.launched.wanted.account)
            assert not ledger_reader.open_orders(connection, trading.launched.wanted.account)
        ids = [told["trade_id"] for told in everything.told if told["type"] == "fill"]
        assert ids == [fill.trade_id for fill in kept][: len(ids)] and len(set(ids)) == len(ids)

    asyncio.run(run())


def ledger_of(trading: Any) -> Any:
    from core.ledger import Ledger

    return Ledger(trading.launched.wanted.ledger_url)


def case(session: Any, does: Callable[[Any], Any]) -> None:
    async def run() -> None:
        async with session() as trading:
            await does(trading)

    asyncio.run(run())


def test_an_order_by_hand_is_sent_once_however_often_it_is_asked_for(session: Any) -> None:
    async def does(trading: Any) -> None:
        bid, _ = await trading.quoted()
        body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 200:.1f}", "tif": "gtx"}
        answers = await asyncio.gather(*(trading.execute(body, "one") for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["order_id"] for answer in answers}) == 1
        assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
        await trading.until(lambda: len(trading.venue.matching.open_orders()) == 1)
        again = await trading.execute(body, "one")
        assert again.json()["order_id"] == answers[0].json()["order_id"] and again.headers["idempotent-replayed"] == "true"
        other = await trading.execute(body | {"size": "0.02"}, "one")
        assert other.status_code == 422
        gone = await trading.execute({"action": "cancel", "order_id": again.json()["order_id"]}, "two")
        assert gone.json()["outcome"] == "done"
        await trading.until(lambda: not trading.venue.matching.open_orders())

    case(session, does)


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"price": "30000.0"}, 409, "price_band"),
        ({"size": "1.5"}, 409, "order_notional"),
        ({"size": "0.00001"}, 400, "decimals"),
        ({"symbol": "DOGEUSDT"}, 400, "not traded"),
        ({"side": "up"}, 400, "body"),
        ({"price": None}, 400, "price"),
        ({"wish": 1}, 400, "wish"),
    ],
    ids=["far from the market", "too large", "finer than a lot", "not listed", "no side", "no price", "unknown field"],
)
def test_a_refusal_says_why(session: Any, changes: dict[str, Any], status: int, says: str) -> None:
    async def does(trading: Any) -> None:
        bid, _ = await trading.quoted()
        body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 20:.1f}"} | changes
        answer = await trading.execute(body, "k")
        assert answer.status_code == status, answer.text
        assert says in answer.text
        assert not trading.venue.matching.open_orders()

    case(session, does)


def test_without_key_or_idempotency_key_nothing_is_done(session: Any) -> None:
    async def does(trading: Any) -> None:
        assert (await trading.execute({"action": "kill"}, "k", **{"x-api-key": "wrong"})).status_code == 401
        assert (await trading.execute({"action": "kill"}, "")).status_code == 400
        foreign = await trading.client.get("/stream", headers={"origin": "https://elsewhere.example"})
        assert foreign.status_code == 403
        assert trading.launched.worker.state.mode == "active"

    case(session, does)


def test_a_kill_cancels_all_and_stays(session: Any) -> None:
    async def does(trading: Any) -> None:
        bid, _ = await trading.quoted()
        body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 200:.1f}"}
        assert (await trading.execute(body, "order")).json()["outcome"] == "approved"
        await trading.until(lambda: len(trading.venue.matching.open_orders()) == 1)
        killed = await trading.execute({"action": "kill", "reason": "a drill"}, "kill")
        assert killed.json()["mode"] == "halted"
        await trading.until(lambda: not trading.venue.matching.open_orders(), 5)
        assert (await trading.execute(body, "after")).json() | {"detail": ""} == {
            "key": "after", "action": "order", "outcome": "refused", "code": "mode_halted", "detail": "",
        }  # fmt: skip
        with trading.launched.ledger.read() as connection:
            latch = ledger_control.latched(connection, trading.launched.wanted.account)
        assert latch is not None and "a drill" in latch["reason"]

    case(session, does)


def test_other_processes_kill_and_rearm_through_ledger_and_file(session: Any) -> None:
    async def does(trading: Any) -> None:
        await trading.quoted()
        state, ledger, account = trading.launched.worker.state, trading.launched.ledger, trading.launched.wanted.account
        ledger_control.latch(ledger, account, "seen from outside", "another process", 1)
        await trading.until(lambda: state.mode == "halted", 5)
        ledger_control.ask(ledger, account, "back", "rearm", "a person", trading.launched.clock(), reason="looked at it")
        await trading.until(lambda: state.mode == "active", 5)
        (trading.launched.wanted.data_dir / "KILL").write_text("by hand")
        await trading.until(lambda: state.mode == "halted", 5)

    case(session, does)


def test_health_is_503_while_the_feed_is_mute(session: Any) -> None:
    async def run() -> None:
        async with session(rules=Rules(mute_s=1.0)) as trading:
            await trading.quoted()
            assert (await trading.client.get("/healthz")).status_code == 200
            assert b"scalp_frame_to_order_seconds_bucket" in (await trading.client.get("/metrics")).content
            trading.venue.fault(Fault(kind="mute", where="market", ms=20_000))
            await trading.until(lambda: not trading.launched.worker.healthy, 10)
            mute = await trading.client.get("/healthz")
            assert mute.status_code == 503 and mute.json()["feed_silent_s"] >= 1

    asyncio.run(run())


def test_a_dead_task_is_told_and_stops_trading(session: Any) -> None:
    async def does(trading: Any) -> None:
        bid, _ = await trading.quoted()
        body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 200:.1f}"}
        await trading.execute(body, "order")
        await trading.until(lambda: len(trading.venue.matching.open_orders()) == 1)
        trading.launched.worker.tasks["timer"].cancel()
        await asyncio.sleep(0)
        dead = await trading.client.get("/healthz")
        assert dead.status_code == 503 and dead.json()["tasks"]["timer"] is False and "timer" in dead.json()["failed"]
        await trading.until(lambda: not trading.venue.matching.open_orders() and trading.launched.worker.state.mode == "halted", 5)

    case(session, does)


def test_an_engine_that_fails_takes_its_orders_away_and_blocks_the_account(session: Any) -> None:
    async def does(trading: Any) -> None:
        worker = trading.launched.worker
        bid, _ = await trading.quoted()
        body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 200:.1f}"}
        await trading.execute(body, "order")
        await trading.until(lambda: len(trading.venue.matching.open_orders()) == 1)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        worker.state.holdings = None
        await asyncio.wait_for(trading.running, 10)
        assert "engine" in worker.failed
        while trading.venue.matching.open_orders():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        with trading.launched.ledger.read() as connection:
            assert ledger_control.latched(connection, trading.launched.wanted.account) is not None

    case(session, does)


def test_orders_are_cancelled_when_it_stops(session: Any) -> None:
    async def run() -> None:
        async with session() as trading:
            bid, _ = await trading.quoted()
            body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 200:.1f}"}
            order_id = (await trading.execute(body, "order")).json()["order_id"]
            await trading.until(lambda: len(trading.venue.matching.open_orders()) == 1)
        with ledger_of(trading).read() as connection:
            found = ledger_reader.order(connection, order_id)
        assert found is not None and found[1].status is Status.CANCELLED

    asyncio.run(run())
