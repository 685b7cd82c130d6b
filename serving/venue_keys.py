"""Who asks, and how much: API keys, HMAC signatures and the receive window; weights of requests, 429 and 418, counts of orders.

Times arrive as arguments, in ms.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.venue_words import Unserved

KEY, SECRET = "venue-key", "venue-secret"
LONGEST_WINDOW_MS = 60_000
AHEAD_MS = 1_000  # a time stamp may be so far ahead of the venue's clock
WARNINGS = 10  # requests answered 429 before the ban
Limits = tuple[tuple[str, str, int, int], ...]
LIMITS: dict[str, Limits] = {
    "spot": (("REQUEST_WEIGHT", "MINUTE", 1, 6_000), ("ORDERS", "SECOND", 10, 100), ("ORDERS", "DAY", 1, 200_000)),
    "usdm": (("REQUEST_WEIGHT", "MINUTE", 1, 2_400), ("ORDERS", "SECOND", 10, 300), ("ORDERS", "MINUTE", 1, 1_200)),
}
SECONDS = {"SECOND": 1, "MINUTE": 60, "DAY": 86_400}


def signed(payload: str, secret: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def check_key(key: str | None, keys: Mapping[str, str]) -> str:
    """The secret of an API key. Raises `Unserved`."""
    if not key:
        raise Unserved(-2014, "API-key format invalid.", 401)
    if key not in keys:
        raise Unserved(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return keys[key]


def check_signature(payload: str, given: str | None, secret: str) -> None:
    """`payload` is what was signed. Raises `Unserved`."""
    if not given:
        raise Unserved(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    if not hmac.compare_digest(signed(payload, secret), given):
        raise Unserved(-1022, "Signature for this request is not valid.")


def check_window(params: Mapping[str, str], now_ms: float) -> None:
    """The time stamp may be `recvWindow` (5,000 ms) old, and a second ahead. Raises `Unserved`."""
    try:
        sent, window = int(params["timestamp"]), float(params.get("recvWindow", 5_000))
    except (KeyError, ValueError) as error:
        raise Unserved(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.") from error
    if not 0 < window <= LONGEST_WINDOW_MS:
        raise Unserved(-1131, "recvWindow must be less than 60000.")
    if sent > now_ms + AHEAD_MS:
        raise Unserved(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent > window:
        raise Unserved(-1021, "Timestamp for this request is outside of the recvWindow.")


def unsigned(query: str) -> tuple[str, str | None]:
    """(the query without its signature, the signature)."""
    parts = query.split("&") if query else []
    found = [part.partition("=")[2] for part in parts if part.startswith("signature=")]
    return "&".join(part for part in parts if not part.startswith("signature=")), found[-1] if found else None


class Limited(Unserved):
    """429 or 418; `wait_s` goes to the header `Retry-After`."""

    def __init__(self, status: int, code: int, words: str, wait_s: int) -> None:
        super().__init__(code, words, status)
        self.wait_s = wait_s


@dataclass
class Weights:
    """What one address has used. Windows are those of the clock (the minute that began at :00). Over the limit 429; after `WARNINGS`
    more a ban of `ban_s`, twice as long each time, answered 418."""

    limits: Limits
    ban_s: float = 120.0
    used: dict[tuple[str, int], int] = field(default_factory=dict)  # (kind and window, its number) -> count
    warned: int = 0
    banned_until_ms: float = 0.0
    storm_until_ms: float = 0.0
    n_bans: int = 0

    def charge(self, weight: int, now_ms: float) -> None:
        """Raises `Limited` where it is too much."""
        if now_ms < self.banned_until_ms:
            until = math.ceil(self.banned_until_ms)
            words = (
                f"Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates to avoid bans."
            )
            raise Limited(418, -1003, words, math.ceil((until - now_ms) / 1e3))
        for kind, word, n, most in self.limits:
            if kind == "REQUEST_WEIGHT" and self._count(f"{kind}{n}{word}", n * SECONDS[word], weight, now_ms) > most:
                words = (
                    f"Too many requests; current limit of IP is {most} requests per minute. Please use WebSocket Streams for live updates."
                )
                self._warn(words, n * SECONDS[word], now_ms)
        if now_ms < self.storm_until_ms:
            self._warn("Too many requests; please use WebSocket Streams for live updates.", 1, now_ms)
        elif self.warned and not self._over(now_ms):
            self.warned = 0

    def charge_order(self, now_ms: float) -> None:
        for kind, word, n, most in self.limits:
            if kind == "ORDERS" and self._count(f"{kind}{n}{word}", n * SECONDS[word], 1, now_ms) > most:
                words = f"Too many new orders; current limit is {most} orders per {n} {word}."
                raise Limited(429, -1015, words, math.ceil(n * SECONDS[word] - now_ms / 1e3 % (n * SECONDS[word])))

    def headers(self, now_ms: float, orders: bool) -> dict[str, str]:
        told = {}
        for kind, word, n, _ in self.limits:
            name = "X-MBX-USED-WEIGHT" if kind == "REQUEST_WEIGHT" else "X-MBX-ORDER-COUNT"
            if kind == "REQUEST_WEIGHT" or orders:
                told[f"{name}-{n}{word[0]}"] = str(self.used.get((f"{kind}{n}{word}", int(now_ms // (n * SECONDS[word] * 1e3))), 0))
        if "X-MBX-USED-WEIGHT-1M" in told:
            told["X-MBX-USED-WEIGHT"] = told["X-MBX-USED-WEIGHT-1M"]
        return told

    def _count(self, name: str, seconds: int, by: int, now_ms: float) -> int:
        window = int(now_ms // (seconds * 1e3))
        if (name, window) not in self.used:  # an earlier window of this name is over
            self.used = {key: n for key, n in self.used.items() if key[0] != name}
        self.used[name, window] = n = self.used.get((name, window), 0) + by
        return n

    def _over(self, now_ms: float) -> bool:
        return any(
            self.used.get((f"{kind}{n}{word}", int(now_ms // (n * SECONDS[word] * 1e3))), 0) > most
            for kind, word, n, most in self.limits
            if kind == "REQUEST_WEIGHT"
        )

    def _warn(self, words: str, seconds: int, now_ms: float) -> None:
        self.warned += 1
        if self.warned > WARNINGS:
            self.banned_until_ms = now_ms + 1e3 * self.ban_s * 2**self.n_bans
            self.n_bans, self.warned = self.n_bans + 1, 0
        raise Limited(429, -1003, words, math.ceil(seconds - now_ms / 1e3 % seconds))
