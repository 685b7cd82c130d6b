"""Which form of a model serves, and how its requests are batched: the rules, on figures that were measured elsewhere.

A form in float32 passes by its error alone. One in less (int8, bf16) is judged by what its decisions are worth beside those of the
float32 model on windows whose outcome is known: how many it changes, and what they cost after cost.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels import scores
from kernels.scores import Outcomes

LEAST_WINDOWS = 500  # fewer cannot show that one decision in a hundred changes
LEAST_TRADES = scores.LEAST_TRADES
CLEARLY = 0.10  # a form or a batching is preferred over a simpler one only where it is faster by more
THROUGHPUT = 0.80  # of the best: what a batching must reach to be chosen for its latency

Ints = NDArray[np.int64]


class Worth(NamedTuple):
    """A form's decisions beside the float32 model's, on the same windows."""

    n_windows: int
    n_trades: int  # of the float32 model
    flips: float  # share of windows that are decided otherwise
    net_bps: float  # after cost, the sum
    loss_bps: float  # what is lost against the float32 model after cost, by each of its trades; negative is a gain


def worth(decided: Ints, by_f32: Ints, of: Outcomes) -> Worth:
    """Directions (0 down, 1 flat, 2 up) of a form and of the float32 model [n], with what the windows led to."""
    mine, theirs = scores.trades(decided, of), scores.trades(by_f32, of)
    net, n = float(mine.net_bps.sum()), len(theirs.rows)
    lost = (float(theirs.net_bps.sum()) - net) / max(n, 1)
    return Worth(len(decided), n, float((decided != by_f32).mean()) if len(decided) else 0.0, net, lost)


def refused_by_error(error: float, *, max_error: float) -> str:
    """Why a float32 form may not serve; empty where it may."""
    return "" if error <= max_error else f"answers otherwise than torch by {error:.2g}, over {max_error:g}"


def refused_by_worth(found: Worth | None, *, max_flips: float, max_loss_bps: float) -> str:
    """Why a form in less than float32 may not serve; empty where it may."""
    if found is None:
        return "no windows with known outcomes were kept to judge it on"
    if found.n_windows < LEAST_WINDOWS:
        return f"{found.n_windows} windows are too few to judge it on ({LEAST_WINDOWS})"
    if found.n_trades < LEAST_TRADES:
        return f"the float32 model makes {found.n_trades} trades on them, too few to judge it on ({LEAST_TRADES})"
    if found.flips > max_flips:
        return f"decides {found.flips:.2%} of the windows otherwise, over {max_flips:.2%}"
    if found.loss_bps > max_loss_bps:
        return f"loses {found.loss_bps:.3g} bps a trade after cost, over {max_loss_bps:g}"
    return ""


def fastest(times: Mapping[str, float], *, clearly: float = CLEARLY) -> str:
    """The name of the least time, in order of preference: a later one must be faster than the first by more than a tenth.

    The preference is by the first alone: a chain of small gains would end where nobody wanted. Raises `ValueError` of nothing.
    """
    if not times:
        raise ValueError("there is nothing to choose from")
    first = next(iter(times))
    best = min(times, key=lambda name: times[name])  # of equal ones the first
    return best if times[best] < times[first] * (1.0 - clearly) else first


class Pace(NamedTuple):
    """What a batching gave: a single client's p99, and what many clients got through."""

    p99_ms: float
    per_s: float
    unsound: str = ""  # why it may not be chosen, however fast; empty where it may


def best_batching(paces: Sequence[Pace]) -> tuple[int, str]:
    """(which, why): the least p99 among the sound ones with nearly the best throughput; the first of them unless clearly beaten.

    Raises `ValueError` where none is sound.
    """
    sound = [i for i, pace in enumerate(paces) if not pace.unsound]
    if not sound:
        raise ValueError("no way to batch is sound: " + "; ".join(pace.unsound for pace in paces))
    most = max(paces[i].per_s for i in sound)
    able = {str(i): paces[i].p99_ms for i in sound if paces[i].per_s >= THROUGHPUT * most}
    which = int(fastest(able))
    among = f"{len(able)} of {len(paces)} reach {THROUGHPUT:.0%} of the best throughput ({most:,.0f} requests/s)"
    if len(able) > 1 and which == int(next(iter(able))):
        return which, f"{among}, and none of them is faster by more than {CLEARLY:.0%} at p99 ({paces[which].p99_ms:.2f} ms)"
    return which, f"{among}, and this has the least p99 of a single request ({paces[which].p99_ms:.2f} ms)"
