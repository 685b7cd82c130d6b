"""A live stream as it comes off the socket: all frames of one read are decoded together and handed on together.

socket -> picows (frames) -> kernels.frames_live (events) -> `told`
"""

import time
from collections.abc import Callable

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from kernels.frames_live import Batch, Live

OPEN = ord("{")
MOST = 256  # frames decoded in one call: with more of them, they leave the processor's cache before they are read


class Feed(WSListener):
    """Hands each batch of a connection to `told`, in order. Pings are answered by picows; `ended` is called once, when the venue is gone.

    A message in several frames is put together first. Messages that are no text, or compressed, are decoded like any other: to `Refused`.
    """

    def __init__(
        self,
        live: Live,
        told: Callable[[Batch], None],
        ended: Callable[[], None] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.live, self.told, self.ended, self.clock = live, told, ended, clock
        self._waiting: list[bytes] = []
        self._wait = self._waiting.append
        self._begun: list[bytes] = []  # of a message whose end is still to come

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        # To ask for the kind costs as much as all the rest; only a whole message begins like this.
        if payload and payload[0] == OPEN and frame.fin and not self._begun:
            self._wait(payload)
        else:
            self._otherwise(transport, frame, payload)
        if frame.last_in_buffer:
            self.flush()

    def _otherwise(self, transport: WSTransport, frame: WSFrame, payload: bytes) -> None:
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._begun.append(payload)
            if frame.fin:
                self._wait(b"".join(self._begun))
                self._begun.clear()
        elif kind == WSMsgType.CLOSE:
            self.flush()
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.flush()
        if self.ended:
            self.ended()

    def flush(self) -> None:
        """Decode what waits, some hundred frames at a time."""
        if not self._waiting:
            return
        waiting, now = self._waiting.copy(), self.clock()
        self._waiting.clear()  # before anything is told: what fails there must not be told again
        if len(waiting) <= MOST:
            self.told(self.live.decode(waiting, now))
            return
        for start in range(0, len(waiting), MOST):
            self.told(self.live.decode(waiting[start : start + MOST], now))
