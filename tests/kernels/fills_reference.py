"""The simulation of fills, plain and slow: every event, request and answer in one queue, books as dictionaries."""

import math
from typing import Any

from kernels import fills
from kernels.fills import BUY, GTC, GTX, IOC, LIMIT, MARKET, SELL
from kernels.fills_book import CLEAR, DEPTH
from kernels.fills_queue import LOG, POWER, RISK_AVERSE

LOW, SPAN, STEP = 100, 24, 10


class Book:
    """Sides as dictionaries of price: lots. `reach` is the worst price set since the side was last found empty."""

    def __init__(self) -> None:
        self.sides: list[dict[int, int]] = [{}, {}]
        self.best: list[int | None] = [None, None]
        self.reach: list[int | None] = [None, None]

    def better(self, side: int, a: int, b: int) -> bool:
        return a > b if side == BUY else a < b

    def from_here(self, side: int, price: int) -> int | None:
        """The best level not better than a price, and not beyond the reach."""
        reach = self.reach[side]
        there = [p for p, n in self.sides[side].items() if n and not self.better(side, p, price)]
        there = [p for p in there if reach is not None and not self.better(side, reach, p)]
        return (max(there) if side == BUY else min(there)) if there else None

    def worse(self, side: int, price: int) -> None:
        self.best[side] = self.from_here(side, price)
        if self.best[side] is None:
            self.reach[side] = None

    def put(self, side: int, price: int, size: int) -> tuple[int, bool]:
        """(size before, whether the best got better)"""
        before, self.sides[side][price] = self.sides[side].get(price, 0), size
        away = -1 if side == BUY else 1
        if not size:
            if price == self.best[side]:
                self.worse(side, price + away)
            return before, False
        reach, best, other = self.reach[side], self.best[side], self.best[1 - side]
        if reach is None or self.better(side, reach, price):
            self.reach[side] = price
        if best is not None and not self.better(side, price, best):
            return before, False
        self.best[side] = price
        if other is not None and not self.better(side, other, price):
            self.best[1 - side] = self.from_here(1 - side, price - away)
        return before, True

    def clear(self, side: int, price: int) -> None:
        for p in self.sides[side]:
            if not self.better(side, price, p):
                self.sides[side][p] = 0
        best = self.best[side]
        if best is not None and not self.better(side, price, best):
            self.worse(side, price + (-1 if side == BUY else 1))


def plain(rows: list[tuple[int, ...]], script: list[tuple[int, ...]], rules: fills.Rules) -> tuple[list[tuple[int, ...]], dict[str, Any]]:
    """The same simulation, one thing after another. Returns fills as `fills.fills` has them, and open orders and totals."""
    venue, seen = Book(), Book()
    resting: list[dict[str, Any]] = []
    ours: dict[int, dict[str, Any]] = {}
    out: list[tuple[int, ...]] = []
    to_venue: list[tuple[int, dict[str, Any]]] = []
    to_us: list[tuple[int, tuple[int, ...]]] = []
    by_venue = sorted(rows, key=lambda r: r[0])
    by_recv = sorted(by_venue, key=lambda r: r[1])
    now, position, cash, n_steps, at = min(by_venue[0][0], by_recv[0][1]), 0, 0, 0, 0
    n_venue = n_recv = 0

    def say(ts: int, order: int, status: str, side: int, price: int, size: int, left: int, maker: int) -> None:
        to_us.append((ts + rules.response_ns, (ts, order, status, side, price, size, left, maker)))  # type: ignore[arg-type]

    def fill(order: dict[str, Any], size: int, ts: int) -> None:
        order["left"] -= size
        say(ts, order["id"], "partial" if order["left"] else "filled", order["side"], order["price"], size, order["left"], 1)

    def weight(x: float) -> float:
        return math.nan if x < 0 and rules.model == POWER else math.log(1 + x) if rules.model == LOG and x > -1 else x**rules.power

    def event(row: tuple[int, ...]) -> None:
        ts, _, kind, side, price, size = row
        if kind == CLEAR:
            venue.clear(side, price)
        elif kind == DEPTH:
            before, improved = venue.put(side, price, size)
            for o in resting:
                if o["side"] == side and o["price"] == price:
                    if rules.model == RISK_AVERSE:
                        o["ahead"] = min(o["ahead"], size)
                        continue
                    level, front = size * rules.lot, o["ahead"]
                    gone, o["traded"] = before * rules.lot - level - o["traded"], 0.0
                    if gone < 0:
                        o["ahead"] = min(front, level)
                        continue
                    back = before * rules.lot - front
                    total = weight(back) + weight(front)
                    share = weight(back) / total if total else math.nan
                    guess = front - (1 - share) * gone + min(back - share * gone, 0.0) if not math.isnan(share) else math.nan
                    o["ahead"] = level if math.isnan(guess) else min(guess, level)
            if improved:
                for o in resting:
                    if o["side"] != side and not venue.better(side, o["price"], price):
                        fill(o, o["left"], ts)
        else:
            for o in sorted((o for o in resting if o["side"] != side), key=lambda o: o["price"] * (1 if side == BUY else -1)):
                if o["price"] == price:
                    o["ahead"] -= size if rules.model == RISK_AVERSE else size * rules.lot
                    o["traded"] += size * rules.lot
                    reach = -o["ahead"] if rules.model == RISK_AVERSE else math.floor(-o["ahead"] / rules.lot + 0.5)
                    if reach > 0:
                        o["ahead"] = 0
                        fill(o, min(reach, o["left"]) if rules.partial else o["left"], ts)
                elif venue.better(1 - side, o["price"], price):
                    fill(o, o["left"], ts)
        resting[:] = [o for o in resting if o["left"]]

    def arrive(ts: int, o: dict[str, Any]) -> None:
        if "cancel" in o:
            found = [r for r in resting if r["id"] == o["cancel"]]
            say(ts, o["cancel"], "cancelled" if found else "rejected", 0, 0, 0, 0, 0)
            resting[:] = [r for r in resting if r["id"] != o["cancel"]]
            return
        side, other = o["side"], venue.best[1 - o["side"]]
        refused = (ts, o["id"], "expired", side, 0, 0, o["left"], 0)
        if o["left"] <= 0:
            say(ts, o["id"], "rejected", side, 0, 0, 0, 0)
        elif o["kind"] == MARKET or (other is not None and not venue.better(side, other, o["price"])):
            if other is None or (o["tif"] == GTX and o["kind"] == LIMIT):
                say(*refused)
            elif not rules.partial:
                say(ts, o["id"], "filled", side, other, o["left"], 0, 0)
            else:
                there = [p for p, n in venue.sides[1 - side].items() if n and not venue.better(1 - side, p, other)]
                levels = sorted(there, reverse=side == SELL)
                for p in levels:
                    if o["left"] and (o["kind"] == MARKET or not venue.better(side, p, o["price"])):
                        some = min(o["left"], venue.sides[1 - side][p])
                        o["left"] -= some
                        say(ts, o["id"], "partial" if o["left"] else "filled", side, p, some, o["left"], 0)
                if o["left"] and o["kind"] == LIMIT and o["tif"] == GTC:
                    say(ts, o["id"], "filled", side, o["price"], o["left"], 0, 0)
                elif o["left"]:
                    say(*refused)
        elif o["tif"] == IOC:
            say(*refused)
        elif not LOW <= o["price"] <= LOW + SPAN:
            say(ts, o["id"], "rejected", side, 0, 0, 0, 0)
        else:
            ahead = venue.sides[side].get(o["price"], 0)
            resting.append(o | {"ahead": ahead if rules.model == RISK_AVERSE else ahead * rules.lot, "traded": 0.0})
            say(ts, o["id"], "new", side, o["price"], 0, o["left"], 0)

    while True:
        until = now + STEP
        while True:
            inf = 1 << 62
            times = (
                by_recv[n_recv][1] if n_recv < len(rows) else inf,
                to_us[0][0] if to_us else inf,
                by_venue[n_venue][0] if n_venue < len(rows) else inf,
                to_venue[0][0] if to_venue else inf,
            )
            first = times.index(min(times))
            if times[first] > until:
                break
            if first == 0:
                _, _, kind, side, price, size = by_recv[n_recv]
                n_recv += 1
                if kind == CLEAR:
                    seen.clear(side, price)
                elif kind == DEPTH:
                    seen.put(side, price, size)
            elif first == 1:
                received, (ts, order, status, side, price, size, left, maker) = to_us.pop(0)
                if status in ("filled", "partial"):
                    out.append((ts, received, order, side, price, size, maker))
                    position += size * (1 - 2 * side)
                    cash -= size * price * (1 - 2 * side)
                if order in ours:
                    asked = ours[order]["asked"]
                    if status == "new" or (status == "rejected" and asked == "cancel"):
                        ours[order]["asked"] = ""
                    elif status == "partial":
                        ours[order]["left"] = left
                    else:
                        del ours[order]
            elif first == 2:
                n_venue += 1
                event(by_venue[n_venue - 1])
            else:
                arrive(*to_venue.pop(0))
        if n_venue == n_recv == len(rows) and not to_us and not to_venue:
            break
        now = until
        while at < len(script) and script[at][0] <= n_steps:
            _, cancels, side, price, size, kind, tif = script[at]
            at += 1
            if not cancels:
                new = sum(1 for s in script[:at] if not s[1])
                ours[new] = {"asked": "new", "left": size}
                to_venue.append((now + rules.entry_ns, {"id": new, "side": side, "price": price, "left": size, "kind": kind, "tif": tif}))
            elif size in ours and not ours[size]["asked"]:
                ours[size]["asked"] = "cancel"
                to_venue.append((now + rules.entry_ns, {"cancel": size}))
        n_steps += 1
    return out, {"position": position, "cash": cash, "steps": n_steps, "best": seen.best, "open": {k: v["left"] for k, v in ours.items()}}
