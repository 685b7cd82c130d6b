"""What a venue sends over a real socket reaches the worker as events, in order, whatever frames it came in."""

import asyncio
import json

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from core.services import free_ports
from kernels.frames_live import Batch, Event, Live, Refused, Trade
from serving.feed import MOST, Feed

MS = 1_723_161_256_322


def trade(number: int) -> bytes:
    told = {"e": "aggTrade", "E": MS, "s": "BTCUSDT", "a": number, "p": "61800.12", "q": "0.123", "f": 1, "l": 2, "T": MS, "m": True}
    return json.dumps(told, separators=(",", ":")).encode()


class Venue(WSListener):
    """Sends what it is given as soon as somebody is there, then closes."""

    def __init__(self, sent: list[tuple[WSMsgType, bytes, bool]]) -> None:
        self.sent = sent

    def on_ws_connected(self, transport: WSTransport) -> None:
        for kind, payload, fin in self.sent:
            transport.send(kind, payload, fin)
        transport.send_close()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def heard(*sent: tuple[WSMsgType, bytes, bool]) -> tuple[list[Event], list[int], int]:
    """The events, the sizes of the batches they came in, and how often the end was told."""
    events: list[Event] = []
    sizes: list[int] = []
    ends: list[None] = []

    def told(batch: Batch) -> None:
        sizes.append(len(batch))
        events.extend(batch)

    async def listen() -> None:
        (port,) = free_ports(1)
        server = await ws_create_server(lambda _: Venue(list(sent)), "127.0.0.1", port)
        async with server:
            live = Live({"BTCUSDT": (2, 3)})
            transport, _ = await ws_connect(lambda: Feed(live, told, lambda: ends.append(None)), f"ws://127.0.0.1:{port}/")
            await asyncio.wait_for(transport.wait_disconnected(), 10)

    asyncio.run(listen())
    return events, sizes, len(ends)


def numbers(events: list[Event]) -> list[int]:
    return [event.trade_id for event in events if isinstance(event, Trade)]


def test_frames_become_trades_in_order_and_the_end_is_told_once():
    events, _, ends = heard(*((WSMsgType.TEXT, trade(n), True) for n in range(1000)))
    assert numbers(events) == list(range(1000)) and ends == 1
    assert isinstance(events[0], Trade) and (events[0].price, events[0].size, events[0].side) == (6_180_012, 123, -1)
    assert events[0].ts_event == MS * 10**6 and events[0].ts_recv > events[0].ts_event


def test_no_call_decodes_more_than_stays_in_the_cache():
    _, sizes, _ = heard(*((WSMsgType.TEXT, trade(n), True) for n in range(5 * MOST)))
    assert sum(sizes) == 5 * MOST and max(sizes) <= MOST


def test_a_message_in_several_frames_is_put_together_and_pings_do_not_disturb_it():
    whole = trade(7)
    events, *_ = heard(
        (WSMsgType.TEXT, whole[:40], False),
        (WSMsgType.PING, b"are you there", True),
        (WSMsgType.CONTINUATION, whole[40:90], False),
        (WSMsgType.CONTINUATION, whole[90:], True),
        (WSMsgType.TEXT, trade(8), True),
    )
    assert numbers(events) == [7, 8]


def test_what_is_no_frame_of_the_venue_is_refused_and_the_rest_goes_on():
    events, *_ = heard(
        (WSMsgType.TEXT, trade(1), True),
        (WSMsgType.BINARY, b"\x00\xff", True),
        (WSMsgType.TEXT, trade(2)[:50], True),
        (WSMsgType.TEXT, b"", True),
        (WSMsgType.TEXT, trade(3), True),
    )
    assert numbers(events) == [1, 3]
    assert [isinstance(event, Refused) for event in events] == [False, True, True, True, False]
