"""The venue's sockets and its process: what is asked for comes, as it was recorded, at its pace."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.services import Service, free_ports
from serving.venue_keys import KEY, SECRET, signed
from serving.venue_replay import Pace
from serving.venue_tape import Tape

pytestmark = pytest.mark.server
OnVenue = Callable[..., None]
KINDS = pytest.mark.parametrize("kind", ["spot", "usdm"])
ROOT = Path(__file__).resolve().parents[2]


@KINDS
def test_streams_are_subscribed_and_left(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        watched = await at.watch("/ws")

        async def ask(method: str, *names: str) -> Any:
            await watched.socket.send_str(json.dumps({"method": method, "params": list(names), "id": 7}))
            while "result" not in (told := await watched.next()):
                pass
            return told["result"]

        assert await ask("SUBSCRIBE", "btcusdt@aggTrade", "btcusdt@depth5@100ms", "btcusdt@kline_1m") is None
        assert sorted(await ask("LIST_SUBSCRIPTIONS")) == ["btcusdt@aggTrade", "btcusdt@depth5@100ms", "btcusdt@kline_1m"]
        kinds = set()
        while len(kinds) < 3:
            told = await watched.next()
            kinds.add(told.get("e", "book"))
        assert kinds == {"aggTrade", "kline", "book" if kind == "spot" else "depthUpdate"}
        await ask("UNSUBSCRIBE", "btcusdt@aggTrade", "btcusdt@depth5@100ms", "btcusdt@kline_1m")
        with pytest.raises(TimeoutError):
            await watched.next(1.5)

    on_venue(kind, case, speed=4)


@KINDS
def test_frames_leave_now_and_in_order(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        watched = await at.watch("/stream?streams=btcusdt@trade/btcusdt@depth")
        told = [(await watched.next(), time.time() * 1e3) for _ in range(6)]
        assert [one["stream"].partition("@")[2] for one, _ in told] == ["depth", "trade"] * 3
        ages = [now - one["data"]["E"] for one, now in told]
        assert min(ages) > -20  # nothing is from the future, though the recorder's clock was behind
        events = [one["data"]["E"] for one, _ in told]
        assert [then - now for now, then in zip(events[::2], events[2::2], strict=False)] == [250, 250]  # at twice life

    on_venue(kind, case, speed=2)


def test_shifted_times_keep_their_distances_and_kept_ones_stay(on_venue: OnVenue) -> None:
    async def shifted(at: Any) -> None:
        watched = await at.watch("/ws/btcusdt@trade")
        first, then = [(await watched.next())["E"] for _ in range(2)]
        assert then - first == 500 and abs(first - time.time() * 1e3) < 5_000

    async def kept(at: Any) -> None:
        watched = await at.watch("/ws/btcusdt@trade")
        assert (await watched.next())["E"] // 100_000 == 17_000_000
        assert (await at.ask("GET", "/time"))[1]["serverTime"] // 100_000 == 17_000_000
        assert (await at.order(price="99.90"))[0] == 200  # signed by our clock

    on_venue("usdm", shifted, pace=Pace(20.0, "shifted"))
    on_venue("usdm", kept, pace=Pace(1.0, "kept"))


def test_a_recording_ends_or_begins_again(on_venue: OnVenue) -> None:
    async def ends(at: Any) -> None:
        watched = await at.watch("/ws/btcusdt@trade")
        with pytest.raises(TimeoutError):
            while True:
                await watched.next(1.0)
        assert at.venue.state()["ended"] and at.venue.state()["frames"] == 40

    async def again(at: Any) -> None:
        watched = await at.watch("/ws/btcusdt@trade")
        ids = [(await watched.next())["t"] for _ in range(60)]
        assert ids.count(1_005) >= 2 and not at.venue.state()["ended"]

    on_venue("usdm", ends, seconds=10, speed=20)
    on_venue("usdm", again, seconds=10, pace=Pace(20.0, loop=True))


@KINDS
def test_orders_go_by_the_websocket_api_too(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        account = await at.account()
        api = await at.session.ws_connect(at.venue.urls.ws_api)

        async def ask(method: str, **params: Any) -> Any:
            params |= {"apiKey": KEY, "timestamp": time.time_ns() // 10**6}
            params["signature"] = signed("&".join(f"{name}={params[name]}" for name in sorted(params)), SECRET)
            await api.send_str(json.dumps({"id": "a", "method": method, "params": params}))
            return json.loads((await api.receive()).data)

        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "99.90"}
        placed = await ask("order.place", newClientOrderId="by-socket", **order)
        assert (placed["id"], placed["status"], placed["result"]["status"]) == ("a", 200, "NEW")
        assert (await ask("order.place", **(order | {"price": "99.905"})))["error"]["code"] == -1111
        assert (await ask("order.status", symbol="BTCUSDT", origClientOrderId="by-socket"))["result"]["orderId"] == placed["result"][
            "orderId"
        ]
        assert (await ask("order.cancel", symbol="BTCUSDT", origClientOrderId="by-socket"))["result"]["status"] == "CANCELED"
        assert (await ask("weather.today"))["status"] == 404
        told = await account.until("executionReport" if kind == "spot" else "ORDER_TRADE_UPDATE")
        assert (told if kind == "spot" else told["o"])["x"] == "NEW"

    on_venue(kind, case)


def test_a_process_serves_until_it_is_told_to_stop(tape_of: Callable[..., Tape], data_dir: Path, tmp_path: Path) -> None:
    source, (port, ws_port) = tape_of("spot").source, free_ports(2)
    url = f"http://127.0.0.1:{port}"
    client = httpx.Client(trust_env=False, timeout=2)

    def ready() -> bool:
        try:
            return client.get(f"{url}/venue").status_code == 200
        except httpx.HTTPError:
            return False

    command = [sys.executable, "-m", "serving.venue", "--from", source, "--port", str(port), "--ws-port", str(ws_port), "--speed", "5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SCALP_DATA_DIR": str(data_dir)}
    with Service("venue", command, log=tmp_path / "venue.log", ready=ready, env=environment) as venue:
        venue.wait_ready(60)
        state = client.get(f"{url}/venue").json()
        assert state["kind"] == "spot" and state["urls"]["ws"].endswith(str(ws_port))
        assert client.get(f"{url}/api/v3/ping").json() == {}
    assert json.loads((tmp_path / "venue.log").read_text().splitlines()[0])["symbols"] == ["BTCUSDT"]
