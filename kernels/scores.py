"""What directions were worth: right how often, gross and after cost, with how much of it luck.

Everything is in basis points of notional, one unit a trade, and one position at a time in each instrument.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
DOWN, FLAT, UP = 0, 1, 2
BPS = 1e4
LEAST_TRADES = 30  # fewer that gain show nothing: a bootstrap of one trade has no width
TOO_LITTLE = "too little data to judge"
LOSES = "loses after cost"
BEATS = "beats the baselines after cost"
NOT_BETTER = "not better than the baselines"


class Outcomes(NamedTuple):
    """What each decision led to, [n], in order of `decided_at`. Returns are fractions of notional; times in ns."""

    decided_at: Ints  # when the window's last bar was known
    known_at: Ints  # when the position was out again
    instrument: Ints
    direction: Ints  # what was right: 0 down, 1 flat, 2 up
    gross_long: Floats
    gross_short: Floats
    net_long: Floats
    net_short: Floats

    def take(self, rows: Ints) -> "Outcomes":
        return Outcomes(**{name: column[rows] for name, column in self._asdict().items()})


class Trades(NamedTuple):
    """The decisions that were traded, in order of `decided_at`; bps."""

    rows: Ints
    gross_bps: Floats
    net_bps: Floats


def trades(predicted: Ints, of: Outcomes) -> Trades:
    """Enter long or short where up or down is predicted and the instrument's last position is out; gross and after cost."""
    out: dict[int, int] = {}
    rows = []
    for row in np.flatnonzero(predicted != FLAT):
        instrument = int(of.instrument[row])
        if of.decided_at[row] >= out.get(instrument, -1):
            rows.append(row)
            out[instrument] = int(of.known_at[row])
    taken = np.array(rows, dtype=np.int64)
    up = predicted[taken] == UP
    gross = np.where(up, of.gross_long[taken], of.gross_short[taken])
    net = np.where(up, of.net_long[taken], of.net_short[taken])
    return Trades(taken, gross.astype(np.float64) * BPS, net.astype(np.float64) * BPS)


def bootstrap(values: Floats, *, draws: int, seed: int, share: float = 0.95, block: float | None = None) -> tuple[float, float]:
    """Interval of the mean by the stationary bootstrap (Politis & Romano 1994): blocks of geometric length, `block` on average
    (default n^(1/3)), on a circle. (0, 0) of nothing; (value, value) of one."""
    n = len(values)
    if n < 2:
        return (float(values[0]), float(values[0])) if n else (0.0, 0.0)
    ends = 1.0 / max(1.0, block or n ** (1 / 3))
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    steps = np.arange(n)
    for draw in range(draws):
        fresh = random.random(n) < ends
        fresh[0] = True
        start = random.integers(0, n, n)
        first = np.maximum.accumulate(np.where(fresh, steps, 0))
        means[draw] = values[(start[first] + steps - first) % n].mean()
    low, high = np.quantile(means, [(1.0 - share) / 2.0, (1.0 + share) / 2.0])
    return float(low), float(high)


def effective_samples(start: Ints, end: Ints) -> float:
    """How many independent labels these [start, end) spans are worth: the sum of their average uniqueness, the mean over its span
    of one over the number of labels running (Lopez de Prado 2018, ch. 4). n where none overlap, 1 where all are one."""
    if not len(start):
        return 0.0
    end = np.maximum(end, start + 1)
    at = np.unique(np.concatenate([start, end]))
    change = np.zeros(len(at), dtype=np.int64)
    np.add.at(change, np.searchsorted(at, start), 1)
    np.add.at(change, np.searchsorted(at, end), -1)
    running = np.cumsum(change)[:-1]
    shared = np.diff(at) / np.maximum(running, 1)
    total = np.concatenate([[0.0], np.cumsum(shared)])
    return float(np.sum((total[np.searchsorted(at, end)] - total[np.searchsorted(at, start)]) / (end - start)))


def accuracy(predicted: Ints, right: Ints) -> float:
    return float((predicted == right).mean()) if len(right) else 0.0


def balanced_accuracy(predicted: Ints, right: Ints) -> float:
    """Mean share found of each class there is."""
    return float(np.mean([(predicted[right == c] == c).mean() for c in np.unique(right)])) if len(right) else 0.0


def score(predicted: Ints, of: Outcomes, *, draws: int, seed: int) -> dict[str, Any]:
    """Every score of one way to decide. `gross_bps` and `net_bps` are sums over the trades, `mean_…` are per trade, and
    `ci_low_bps`, `ci_high_bps` hold the mean after cost with 95 %."""
    made = trades(predicted, of)
    low, high = bootstrap(made.net_bps, draws=draws, seed=seed)
    n = len(made.rows)
    return {
        "accuracy": accuracy(predicted, of.direction),
        "balanced_accuracy": balanced_accuracy(predicted, of.direction),
        "n_signals": int((predicted != FLAT).sum()),
        "n_trades": n,
        "gross_bps": float(made.gross_bps.sum()),
        "net_bps": float(made.net_bps.sum()),
        "mean_gross_bps": float(made.gross_bps.mean()) if n else 0.0,
        "mean_net_bps": float(made.net_bps.mean()) if n else 0.0,
        "ci_low_bps": low,
        "ci_high_bps": high,
    }


def lead(mine: Trades, others: Trades, n: int, *, stretches: int, draws: int, seed: int) -> dict[str, float]:
    """By how much one way to decide gained more than another after cost, in sum, over the same `n` decisions (bps), and what holds that
    with 95 %: the difference of each of so many stretches of the decisions is what is drawn again."""
    worth = np.zeros(n)
    worth[mine.rows] += mine.net_bps
    worth[others.rows] -= others.net_bps
    begin = np.unique(np.linspace(0, n, max(1, min(n, stretches)), endpoint=False).astype(np.int64))
    sums = np.add.reduceat(worth, begin) if n else worth
    low, high = bootstrap(sums, draws=draws, seed=seed)
    return {"lead_bps": float(worth.sum()), "lead_low_bps": low * len(sums), "lead_high_bps": high * len(sums)}


def equity(predicted: Ints, of: Outcomes, at: Ints) -> list[float]:
    """Bps after cost that were settled by each instant of `at` (in order)."""
    made = trades(predicted, of)
    order = np.argsort(of.known_at[made.rows], kind="stable")
    settled = of.known_at[made.rows][order]
    total = np.concatenate([[0.0], np.cumsum(made.net_bps[order])])
    return [float(v) for v in total[np.searchsorted(settled, at, side="right")]]


def judge(model: dict[str, Any], baselines: dict[str, dict[str, Any]], *, effective: float, min_effective: float) -> tuple[str, bool]:
    """(verdict, evidence). There is evidence only where the model's trades gain after cost, and more than those of every baseline, in
    sum and per trade, both by more than chance would have it (the intervals' lower ends). A few trades that gain are no evidence."""
    if effective < min_effective:
        return TOO_LITTLE, False
    if model["mean_net_bps"] < 0:
        return LOSES, False
    if 0 < model["n_trades"] < LEAST_TRADES:
        return TOO_LITTLE, False
    ahead = all(model[key] > other[key] for other in baselines.values() for key in ("net_bps", "mean_net_bps"))
    surely = all(other["lead_low_bps"] > 0 for other in baselines.values())
    if model["mean_net_bps"] > 0 and model["ci_low_bps"] > 0 and ahead and surely:
        return BEATS, True
    return NOT_BETTER, False
