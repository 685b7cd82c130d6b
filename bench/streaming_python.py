"""The seventeen trade-grain features one trade at a time in plain Python: what one writes without a compiler, and writes well."""

from collections import deque
from math import log, nan, sqrt


class Plain:
    """Slots, running sums of integers, no loop over a window."""

    NAMES = (
        "mid", "spread_bps", "microprice", "imbalance", "effective_spread_bps", "ret_1", "ret_20", "sma_20", "std_20",
        "bollinger_upper_20", "bollinger_lower_20", "ema_12", "ema_26", "macd", "macd_signal", "rsi_14", "vwap_20",
    )  # fmt: skip
    __slots__ = ("fast", "gain", "loss", "max_age", "n", "signal", "slow", "squares", "total", "trades", "unit", "volume", "worth")

    def __init__(self, unit: float, max_age: int) -> None:
        self.unit, self.max_age = unit, max_age
        self.n = self.total = self.squares = self.worth = self.volume = 0
        self.fast = self.slow = self.signal = self.gain = self.loss = 0.0
        self.trades: deque[tuple[int, int]] = deque(maxlen=20)

    def step(self, ts_event, known_at, price, size, side, segment, top_known_at, bid, bid_size, ask, ask_size):
        unit, trades, n = self.unit, self.trades, self.n
        x = price / unit
        if bid > 0 and ask > 0 and known_at - top_known_at <= self.max_age:
            both, depth = bid + ask, bid_size + ask_size
            mid, spread, lean = both / (2 * unit), (ask - bid) / both * 2e4, (bid_size - ask_size) / depth
            micro, effective = (bid * ask_size + ask * bid_size) / depth / unit, abs(2 * price - both) / both * 2e4
        else:
            mid = spread = micro = lean = effective = nan
        last = trades[-1][0] if n else price
        ret = log(price / last) if n else nan
        self.total += price
        self.squares += price * price
        self.worth += price * size
        self.volume += size
        ret_20 = mean = deviation = upper = lower = average = nan
        if n >= 20:
            old, gone = trades[0]
            ret_20 = log(price / old)
            self.total -= old
            self.squares -= old * old
            self.worth -= old * gone
            self.volume -= gone
        trades.append((price, size))
        if n >= 19:
            mean = self.total / (20 * unit)
            deviation = sqrt(20 * self.squares - self.total * self.total) / (20 * unit)
            upper, lower, average = mean + 2 * deviation, mean - 2 * deviation, self.worth / self.volume / unit
        up, down = (price - last, 0) if price > last else (0, last - price)
        if n >= 34:
            self.fast += (x - self.fast) * (2 / 13)
            self.slow += (x - self.slow) * (2 / 27)
            self.signal += (self.fast - self.slow - self.signal) * 0.2
            self.gain += (up - self.gain) / 14
            self.loss += (down - self.loss) / 14
        else:
            self.seed(n, x, up, down)
        self.n = n + 1
        if n >= 33:
            whole = self.gain + self.loss
            strength = 100 * self.gain / whole if whole else 0.0
            return (
                mid, spread, micro, lean, effective, ret, ret_20, mean, deviation, upper, lower, self.fast, self.slow,
                self.fast - self.slow, self.signal, strength, average,
            )  # fmt: skip
        whole = self.gain + self.loss
        return (
            mid, spread, micro, lean, effective, ret, ret_20, mean, deviation, upper, lower, self.fast if n >= 11 else nan,
            self.slow if n >= 25 else nan, self.fast - self.slow if n >= 25 else nan, nan,
            (100 * self.gain / whole if whole else 0.0) if n >= 14 else nan, average,
        )  # fmt: skip

    def seed(self, n: int, x: float, up: float, down: float) -> None:
        """The first trades: each recurrence begins with the average of its first values."""
        self.fast = self.fast + (x - self.fast) / (n + 1) if n < 12 else self.fast + (x - self.fast) * (2 / 13)
        self.slow = self.slow + (x - self.slow) / (n + 1) if n < 26 else self.slow + (x - self.slow) * (2 / 27)
        if n >= 25:
            self.signal += (self.fast - self.slow - self.signal) / (n - 24)
        if n >= 1:
            share = 1 / min(n, 14)
            self.gain += (up - self.gain) * share
            self.loss += (down - self.loss) * share
