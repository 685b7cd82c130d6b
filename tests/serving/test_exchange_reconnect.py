"""Connections come back by themselves, wait longer each time, and each change is told once; frames come whole and together."""

import asyncio
import random
from collections.abc import Callable, Sequence

import ccxt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from core.services import free_ports
from serving.binance_streams import MOST, SYMBOLS, groups, listen, market
from serving.ccxt_feed import keep_watching
from serving.exchange import ExchangeError
from serving.reconnect import Backoff, keep


@given(st.integers(0, 2**32), st.floats(0.01, 1.0), st.floats(1.0, 60.0))
@settings(deadline=None, max_examples=50)
def test_waits_double_up_to_the_most_and_are_jittered(seed: int, first: float, most: float):
    backoff = Backoff(first, most, random.Random(seed))
    for n in range(12):
        whole = min(first * 2**n, most)
        assert whole / 2 <= backoff.wait_s() <= whole
    backoff.reset()
    assert backoff.wait_s() <= first


def kept(outcomes: Sequence[str | Exception]) -> list[tuple[bool, str]]:
    """What is told while sessions end like this: a text after it was up, an exception before."""
    told: list[tuple[bool, str]] = []
    left = list(outcomes)

    async def session(up: Callable[[], None]) -> str:
        if not left:
            raise KeyError("the end")
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        up()
        return outcome

    async def run() -> None:
        with pytest.raises(KeyError):
            await keep(session, lambda up, why: told.append((up, why)), Backoff(0.001, 0.002, random.Random(1)))

    asyncio.run(run())
    return told


def test_each_change_is_told_once():
    assert kept(["gone", OSError("no"), ExchangeError("no"), "again"]) == [(True, ""), (False, "gone"), (True, ""), (False, "again")]


def test_a_first_connection_that_fails_is_told():
    assert kept([OSError("refused"), OSError("refused"), "gone"]) == [(False, "refused"), (True, ""), (False, "gone")]


def test_symbols_are_spread_over_connections():
    many = [f"S{n}USDT" for n in range(2 * SYMBOLS + 1)]
    made = groups("usdm", many)
    assert [len(one.split("/")) for one in made] == [4 * SYMBOLS, 4 * SYMBOLS, 4]
    assert made[0].startswith("s0usdt@depth@0ms/s0usdt@trade/s0usdt@bookTicker/s0usdt@markPrice@1s/")


class Sends(WSListener):
    """Sends what it is given as soon as somebody is there."""

    def __init__(self, sent: Sequence[tuple[WSMsgType, bytes, bool]], ends: bool) -> None:
        self.sent, self.ends = sent, ends

    def on_ws_connected(self, transport: WSTransport) -> None:
        for kind, payload, fin in self.sent:
            transport.send(kind, payload, fin)
        if self.ends:
            transport.send_close(WSCloseCode.GOING_AWAY, b"enough")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def heard(sent: Sequence[tuple[WSMsgType, bytes, bool]]) -> tuple[list[tuple[bytes, ...]], str, list[str]]:
    """The batches, why the connection ended, and the order of what was told."""
    batches: list[tuple[bytes, ...]] = []
    order: list[str] = []

    def told(payloads: Sequence[bytes], ts_recv: int) -> None:
        batches.append(tuple(payloads))
        order.append("frames")

    async def run() -> str:
        (port,) = free_ports(1)
        async with await ws_create_server(lambda _: Sends(sent, True), "127.0.0.1", port):
            return await asyncio.wait_for(listen(f"ws://127.0.0.1:{port}/", told, lambda: order.append("up"), lambda: 7), 10)

    return batches, asyncio.run(run()), order


def test_frames_come_in_order_some_hundred_together_after_the_connection_is_told():
    texts = [b'{"stream":"a","data":%d}' % n for n in range(3 * MOST)]
    batches, why, order = heard([(WSMsgType.TEXT, text, True) for text in texts])
    assert [text for batch in batches for text in batch] == texts and max(map(len, batches)) <= MOST
    assert "1001" in why and order[0] == "up" and order.count("up") == 1


def test_a_message_in_several_frames_comes_whole_and_pings_are_no_messages():
    whole = b'{"stream":"a","data":12345}'
    batches, *_ = heard(
        [
            (WSMsgType.TEXT, whole[:5], False),
            (WSMsgType.PING, b"{are you there}", True),
            (WSMsgType.CONTINUATION, whole[5:], True),
            (WSMsgType.TEXT, b"[1]", True),
        ]
    )
    assert [text for batch in batches for text in batch] == [whole, b"[1]"]


def test_a_feed_of_several_connections_is_up_when_all_are():
    links: list[bool] = []

    async def run() -> None:
        one, other = free_ports(2)
        sent = [(WSMsgType.TEXT, b"{}", True)]
        urls = [f"ws://127.0.0.1:{port}/" for port in (one, other)]
        async with await ws_create_server(lambda _: Sends(sent, False), "127.0.0.1", one):
            feed = asyncio.create_task(
                market(urls, lambda p, ts: None, lambda up, _: links.append(up), lambda: 7, mute_s=30, rng=random.Random(1))
            )
            await asyncio.sleep(0.3)
            assert True not in links
            async with await ws_create_server(lambda _: Sends(sent, False), "127.0.0.1", other):
                for _ in range(200):
                    if links and links[-1]:
                        break
                    await asyncio.sleep(0.05)
                assert links[-1]
                feed.cancel()
                await asyncio.gather(feed, return_exceptions=True)

    asyncio.run(run())
    assert links.count(True) == 1


def test_what_ccxt_fails_at_is_tried_again_and_other_errors_are_raised():
    links: list[bool] = []
    outcomes: list[Exception | None] = [ccxt.NetworkError("gone"), None, ccxt.NetworkError("gone"), None, KeyError("a surprise")]

    async def watch() -> None:
        if (error := outcomes.pop(0)) is not None:
            raise error

    async def run() -> None:
        await keep_watching([watch], lambda up, _: links.append(up), random.Random(1))

    with pytest.raises(BaseExceptionGroup) as raised:
        asyncio.run(run())
    assert raised.value.subgroup(KeyError) is not None and links == [False, True, False, True]
