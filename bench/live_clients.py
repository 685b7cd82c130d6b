"""A thousand clients on /stream while the engine works: what they cost it. Taken where it is named (two runs of half a minute).

The clients are sockets of one process on loopback; each gets every update of one symbol. Both runs have the same frames.
"""

from typing import Any

from bench.live import us
from bench.live_stage import RATE, run, source
from bench.runner import Say, plain

CLIENTS, SECONDS, MOST = 1_000, 15.0, 1.2


def take(say: Say) -> list[dict[str, Any]]:
    what, speed, of = source()
    p99 = {}
    rows = []
    for n in (0, CLIENTS):
        say(f"live_clients: {n} clients, {RATE:,.0f} frames a second")
        done = run(what, speed, seconds=SECONDS, clients=n)
        through = done.through - done.came
        p99[n] = us(through, 99)
        held = f"{of}; load average {done.load[0]:.1f}; {done.facts['heard']} updates got by clients"
        for q in (50, 99):
            name = f"frame in to engine done with {n} clients on /stream, p{q}"
            rows.append(plain("live_clients", name, "us", us(through, q), higher_is_better=False, n=len(through), held=held))
    name = f"p99 with {CLIENTS} clients over p99 with none"
    rows.append(plain("live_clients", name, "x", p99[CLIENTS] / p99[0], at_most=MOST, higher_is_better=False))
    return rows
