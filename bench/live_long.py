"""An hour of generated market at twenty times life: whether memory stays flat. Taken where it is named (three minutes)."""

import time
from typing import Any

from bench.live_stage import run
from bench.runner import Say, plain

SPEED, HOUR_S = 20.0, 3_600.0
SYMBOLS, PER_S = 2, 10.0  # frames a second of each, in the market's own time
MOST = 1.05


def take(say: Say) -> list[dict[str, Any]]:
    say(f"live_long: an hour at {SPEED:g}x")
    begin = int(time.time()) // 10 * 10
    done = run(f"generated:{SYMBOLS}:{PER_S:g}:{begin}", SPEED, seconds=HOUR_S / SPEED)
    third, end = done.facts["rss_third"], done.facts["rss_end"]
    lower: dict[str, Any] = {"higher_is_better": False, "n": done.facts["frames"]}
    return [
        plain("live_long", "memory a third into an hour of market at 20x", "MB", third / 1e6, **lower),
        plain("live_long", "memory at its end", "MB", end / 1e6, **lower),
        plain("live_long", "memory at the end over memory a third in", "x", end / third, at_most=MOST, **lower),
        plain("live_long", "orders sent in it", "", done.facts["orders"]),
    ]
