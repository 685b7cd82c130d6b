"""HTTP as we speak it: whole answers, lost ones, and never a second request where the first may have been carried out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from core.events import Approved
from core.market import Side
from core.orders import Order
from serving.binance import Binance
from serving.binance_open import Urls
from serving.exchange import ExchangeError
from serving.wire import Lost, Reply, Unsent, Wire, dechunked

from .conformance import listed

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Used: 7\r\n\r\n{}"
Case = Callable[[Wire], Awaitable[None]]


def served(script: Sequence[list[bytes] | None], case: Case, headers: dict[str, str] | None = None) -> list[bytes]:
    """Run a case against a server that answers the n-th request with the n-th of `script`, piece by piece; None: it hangs up.

    The requests it got, whole heads.
    """
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                answer = script[len(asked) - 1]
                for piece in answer or ():
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                if answer is None or b"Connection: close" in b"".join(answer):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        wire = Wire(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base", headers)
        async with server:
            try:
                await asyncio.wait_for(case(wire), 20)
            finally:
                await wire.close()

    asyncio.run(run())
    return asked


def test_requests_share_a_connection_and_carry_our_headers():
    async def case(wire: Wire) -> None:
        for _ in range(3):
            assert await wire.ask("POST", "/a?b=1", timeout_s=5) == Reply(200, {"content-length": "2", "x-used": "7"}, b"{}")
        assert len(wire.lines) == 1

    asked = served([[WHOLE]] * 3, case, {"X-Key": "mine"})
    assert asked[0].startswith(b"POST /base/a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:") and b"X-Key: mine\r\n" in asked[0]


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE[:10], WHOLE[10:40], WHOLE[40:]],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n}\r", b"\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{", b"}"],
    ],
    ids=["in pieces", "in chunks", "after a 100", "until the connection ends"],
)
def test_an_answer_is_whole_however_it_comes(pieces: list[bytes]):
    async def case(wire: Wire) -> None:
        assert (await wire.ask("GET", "/", timeout_s=5)).body == b"{}"

    served([pieces], case)


@pytest.mark.parametrize("answer", [None, [], [WHOLE[:-1]], [b"no HTTP at all\r\n\r\n"]], ids=["hung up", "silent", "cut", "nonsense"])
def test_an_answer_that_does_not_come_is_lost_and_nothing_is_sent_again(answer: list[bytes] | None):
    async def case(wire: Wire) -> None:
        with pytest.raises(Lost):
            await wire.ask("POST", "/order", timeout_s=0.3)
        assert not wire.lines  # its late answer cannot become another's

    assert len(served([answer], case)) == 1


def test_an_order_is_not_sent_again_on_a_connection_that_had_just_closed():
    async def case(wire: Wire) -> None:
        await wire.ask("POST", "/1", timeout_s=5)
        with pytest.raises(Lost):
            await wire.ask("POST", "/2", timeout_s=5)

    assert len(served([[WHOLE], None, [WHOLE]], case)) == 2


def test_a_query_is_asked_again_where_the_kept_connection_had_closed():
    async def case(wire: Wire) -> None:
        await wire.ask("GET", "/1", timeout_s=5)
        assert (await wire.ask("GET", "/2", timeout_s=5)).status == 200

    assert len(served([[WHOLE], None, [WHOLE]], case)) == 3


def test_a_cancelled_request_takes_its_connection_with_it():
    async def case(wire: Wire) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.ask("POST", "/slow", timeout_s=5), 0.1)
        assert (await wire.ask("POST", "/next", timeout_s=5)).headers["x-used"] == "7"

    served([[], [WHOLE]], case)


def test_where_nobody_listens_nothing_was_sent():
    async def run() -> None:
        with pytest.raises(Unsent, match="cannot be reached"):
            await Wire("http://127.0.0.1:1").ask("POST", "/", timeout_s=1)

    asyncio.run(run())


def test_what_is_no_address_is_refused():
    with pytest.raises(ValueError, match="not a web address"):
        Wire("ftp://somewhere")


def test_chunks_are_joined_once_all_are_there():
    whole = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert dechunked(whole) == b"abcde"
    assert all(dechunked(whole[:n]) is None for n in range(len(whole) - 1))


def test_an_answer_that_cannot_be_read_leaves_the_order_unknown():
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html></html"
    order = Order(order_id="sc1-1", symbol="BTCUSDT", side=Side.BUY, size=1, price=1)

    async def case(wire: Wire) -> None:
        exchange = Binance("usdm", api_key="k", api_secret="s", urls=Urls(f"http://{wire.host}:{wire.port}", "ws://127.0.0.1:1"))
        exchange.listings = {"BTCUSDT": listed()}
        assert not (await exchange.send(Approved(ts=0, order=order))).known
        assert not (await exchange.cancel("BTCUSDT", "sc1-1")).known
        with pytest.raises(ExchangeError, match="cannot be read"):
            await exchange.open_orders(["BTCUSDT"])
        await exchange.close()

    served([[page]] * 3, case)
