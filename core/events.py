"""The engine's inputs besides market frames, and its decisions: plain words that the worker, the ledger, the journal and replay share.

Everything here is a msgspec struct with a tag, so that a journal line is `msgspec.json.encode(input)` and reads back the same.
"""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from core.orders import Balance, Fill, Held, Order, Standing


class Input(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """`ts`: when the worker got it, ns. The journal adds the sequence number."""

    ts: int


class Snapshot(Input, frozen=True):
    """A whole book, asked for by `Resync`. Levels are (price, size) in units, best first."""

    symbol: str
    update_id: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class Timer(Input, frozen=True):
    """Time passes, a few times a second."""


class Prediction(Input, frozen=True):
    """A model's answer about the features that were known at `as_of` (`known_at` of their row)."""

    symbol: str
    as_of: int
    version: str  # version id
    alias: str  # champion trades; shadow is only scored
    down: float
    flat: float
    up: float
    confidence: float
    volatility: float
    served_by: str = "triton"


class PredictionFailed(Input, frozen=True):
    symbol: str
    as_of: int
    reason: str
    version: str = ""  # empty: of every model that was asked


class Ordered(Input, frozen=True):
    """What the venue says of an order of ours (an answer or user data)."""

    standing: Standing


class Filled(Input, frozen=True):
    fill: Fill


class Unanswered(Input, frozen=True):
    """The answer to an order did not come: it is UNKNOWN from now on."""

    order_id: str
    symbol: str
    reason: str


class CancelFailed(Input, frozen=True):
    """A cancel was rejected or not answered; the order stands as it stood."""

    order_id: str
    symbol: str
    code: int
    reason: str


class Account(Input, frozen=True):
    """What the venue says we hold (start, reconcile)."""

    positions: tuple[Held, ...]
    balances: tuple[Balance, ...]
    clean: bool  # nothing differed from what we thought


class Connected(Input, frozen=True):
    """Feed or user data are back; books are unknown until their snapshot."""

    what: str  # "market" or "account"
    symbols: tuple[str, ...] = ()


class Disconnected(Input, frozen=True):
    what: str
    symbols: tuple[str, ...] = ()
    reason: str = ""


class Overflowed(Input, frozen=True):
    """Frames of these symbols were dropped before the engine saw them: their books are stale."""

    symbols: tuple[str, ...]


class Funding(Input, frozen=True):
    """A futures venue paid (or took, below 0) `amount`, in quote currency. `symbol` is empty where it did not say for which position."""

    symbol: str
    amount: float


class CommandKind(StrEnum):
    KILL = "kill"
    FLATTEN = "flatten"
    REARM = "rearm"
    ORDER = "order"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    PAUSE = "pause"
    RESUME = "resume"


class Command(Input, frozen=True):
    """What a person (or a limit, or another process) asks for; `key` makes it idempotent."""

    kind: CommandKind
    key: str
    who: str
    reason: str = ""
    order: Order | None = None


AnyInput = (
    Snapshot | Timer | Prediction | PredictionFailed | Ordered | Filled | Unanswered | CancelFailed | Account | Connected | Disconnected
    | Overflowed | Funding | Command
)  # fmt: skip


class Decision(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """`ts` is the engine's clock: the receive time of what led to it."""

    ts: int


class Approved(Decision, frozen=True):
    """An order that passed risk (made only by `kernels.risk`). An exchange sends nothing else."""

    order: Order


class Refused(Decision, frozen=True):
    order: Order
    code: str
    detail: str


class Cancel(Decision, frozen=True):
    order_id: str
    symbol: str
    reason: str


class CancelAll(Decision, frozen=True):
    """`stops`: also those that wait at the venue behind positions."""

    symbols: tuple[str, ...]
    reason: str
    stops: bool = True


class Signal(Decision, frozen=True):
    """One opinion, and what it was made from."""

    symbol: str
    ts_bar: int
    rule: int  # -1, 0, 1
    rule_score: float
    model: int
    model_score: float
    fused: int
    strength: float  # 0 to 1
    version: str
    features: str  # hash of the row of features, 16 hex digits
    price: float
    values: tuple[float, ...] = ()  # the rule's indicators
    alias: str = ""  # of the model: champion, shadow (nothing is traded on this signal), or none was there
    seq: int = 0  # number of the input that closed the bar: `Order.signal` of what is traded on it


class Ask(Decision, frozen=True):
    """Please predict: the window of features ends with the row known at `as_of`."""

    symbol: str
    as_of: int
    ts_bar: int
    deadline_ns: int
    window: Any = None  # float32 [window, F]; not journalled
    version: str = ""  # which model is asked (version id), and as what
    alias: str = ""


class Resync(Decision, frozen=True):
    """The book of one symbol is unknown: fetch its snapshot."""

    symbol: str
    reason: str


class Incident(Decision, frozen=True):
    """Something a person should know."""

    kind: str
    detail: str
    symbol: str = ""


class Mode(StrEnum):
    ACTIVE = "active"
    REDUCING = "reducing"  # only what makes positions smaller
    HALTED = "halted"  # nothing


class ModeChanged(Decision, frozen=True):
    mode: Mode
    reason: str
    latched: bool  # a person has to re-arm


AnyDecision = Approved | Refused | Cancel | CancelAll | Signal | Ask | Resync | Incident | ModeChanged
