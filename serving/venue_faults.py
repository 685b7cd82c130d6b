"""What goes wrong on purpose, for tests: `POST /faults {"kind": ..., ...}`; `DELETE /faults` ends all of it, `GET /faults` lists it.

On requests (`match` is looked for in "POST /api/v3/order"; empty matches orders of any kind):
    lose_answer (done, but never answered: the connection is closed after `ms`), lose_request (not done, not answered), delay_answer,
    delay_request (`ms`), fail (`status`, `code`, `words`; with `done` after it was done), reject (`code`, `words`: refused by the venue)
On streams (`where`: "market" or "account"; `stream`: part of its name):
    gap (`n` are never sent), duplicate, reorder (sent after the next one), delay (`ms`), mute (for `ms`: the socket stays open),
    disconnect (`where` or both; at once), expire (what the venue does after 24 hours: a close frame first), listen_key_expired
On the venue: skew (`ms` that its clock is ahead), storm (429 for `ms`), ban (418 for `ms`), late (new orders are not found for `ms`),
    foreign (an order on our account that somebody else placed: `symbol`, `side`, `size`, `price`), funding (`symbol`, `rate`)

`n`: how many times, 1 unless told; with `ms` and no `n` a mute lasts so long.
"""

from msgspec import Struct

ON_REQUESTS = frozenset({"lose_answer", "lose_request", "delay_answer", "delay_request", "fail", "reject"})
ON_STREAMS = frozenset({"gap", "duplicate", "reorder", "delay", "mute"})
AT_ONCE = frozenset({"disconnect", "expire", "listen_key_expired", "skew", "storm", "ban", "late", "foreign", "funding"})
ORDERS = ("POST /api/v3/order", "POST /fapi/v1/order", "DELETE /api/v3/order", "DELETE /fapi/v1/order", "order.place", "order.cancel")


class Fault(Struct, kw_only=True):
    """One fault; see the module's words."""

    kind: str
    n: int = 1
    ms: float = 0.0
    match: str = ""
    where: str = ""
    stream: str = ""
    code: int = -1007
    words: str = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    status: int = 503
    done: bool = False
    symbol: str = ""
    side: str = "BUY"
    size: str = "0"
    price: str = ""
    client_id: str = "elsewhere-1"
    rate: str = "0.0001"
    until: float = 0.0  # a mute ends (set by the venue, s)


class Faults:
    """Those under way, oldest first. `taken` counts those that happened, by kind."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.taken: dict[str, int] = {}

    def add(self, fault: Fault) -> None:
        """Raises `ValueError` for a kind that there is not."""
        if fault.kind not in ON_REQUESTS | ON_STREAMS | AT_ONCE:
            raise ValueError(f"no fault {fault.kind!r}; there are {', '.join(sorted(ON_REQUESTS | ON_STREAMS | AT_ONCE))}")
        if fault.kind not in AT_ONCE:
            self.waiting.append(fault)
        else:
            self.count(fault.kind)

    def of_request(self, name: str) -> list[Fault]:
        """The faults that this request has: each is used up by one."""
        if not self.waiting:
            return []
        return [
            self._use(fault)
            for fault in list(self.waiting)
            if fault.kind in ON_REQUESTS and (fault.match in name if fault.match else name in ORDERS)
        ]

    def of_stream(self, where: str, stream: str, now_s: float) -> Fault | None:
        """The fault that a frame of a stream has."""
        for fault in self.waiting:
            if fault.kind in ON_STREAMS and fault.where in ("", where) and fault.stream in stream:
                if fault.kind != "mute":
                    return self._use(fault)
                fault.until = fault.until or now_s + fault.ms / 1e3
                if now_s < fault.until:
                    return fault
                self.waiting.remove(fault)
                self.count(fault.kind)
                return self.of_stream(where, stream, now_s)
        return None

    def clear(self) -> None:
        self.waiting.clear()

    def count(self, kind: str) -> None:
        self.taken[kind] = self.taken.get(kind, 0) + 1

    def _use(self, fault: Fault) -> Fault:
        fault.n -= 1
        if fault.n <= 0:
            self.waiting.remove(fault)
        self.count(fault.kind)
        return fault
