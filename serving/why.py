"""From an order back to its reasons: the verdict of risk, the signal, the features it was made from, and the frames as they were received.

    order id -> ledger (`core.ledger_reader.story`) -> session -> journal: the input that closed the bar, and the frames around it

The values of the features are not kept: the session is run again up to the signal, and their hash has to be the one that was kept.
"""

from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from core import ledger_reader
from core.events import AnyInput
from core.ledger import Ledger
from core.orders import Listing, Purpose
from kernels import engine
from kernels.engine_plan import Plan
from kernels.features import names
from serving import journal, replay

AROUND = 3  # inputs before and after
LONGEST = 400  # bytes of a frame that are shown


class Frame(Struct, frozen=True):
    """One input of the engine: a frame as it was received (cut where it is long), or another input as JSON."""

    seq: int
    ts: int
    what: str  # frame, or the input's name
    text: str
    file: str = ""
    led: bool = False  # the one that led to it


class Why(Struct, kw_only=True):
    """`order`, `verdict`, `signal`, `events`, `fills` are rows of the ledger. What could not be found is None or empty, and `missing` says
    why. `features` in the order of `kernels.features`; null where unknown."""

    order_id: str
    order: dict[str, Any] | None
    verdict: dict[str, Any] | None
    signal: dict[str, Any] | None
    events: list[dict[str, Any]]
    fills: list[dict[str, Any]]
    listing: Listing | None = None
    model: dict[str, Any] | None = None  # asked for this signal: version, alias, its window's length
    features: dict[str, float | None] = {}
    features_hash: str = ""
    frames: list[Frame] = []
    session: str = ""
    missing: list[str] = []


class NoOrder(LookupError):
    """No such order; the message says what to look at."""


def why(ledger: Ledger, sessions: Path, order_id: str, *, around: int = AROUND) -> Why:
    """The reasons of an order of ours, refused ones too. Raises `NoOrder`."""
    with ledger.read() as connection:
        story = ledger_reader.story(connection, order_id)
    if story is None:
        raise NoOrder(
            f"no order {order_id} in the ledger. Ids look like sc1-2z; /stream tells them, and the ledger's table orders has them all"
        )
    made = Why(order_id=order_id, **story)
    told = story["verdict"] or story["order"]
    made.session = told["session"]
    folder = sessions / made.session
    if not made.session or not (folder / journal.META).exists():
        made.missing.append(f"the session {made.session or '(none was kept)'} is not in {sessions}: no features and no frames")
        return made
    if story["verdict"] is None:
        made.missing.append("the verdict of risk is not in the ledger")
    seq = story["verdict"]["signal_seq"] if story["verdict"] else told["seq"]
    purpose = Purpose(story["order"]["purpose"]) if story["order"] else None
    if story["signal"] is None:
        what = f"a {purpose.value} order follows from the market or a command, not from a signal" if purpose else "no signal has its number"
        made.missing.append(what)
    try:
        plan = replay.plan_of(folder)
        made.listing = plan.listings.get(told["symbol"])
        made.frames = list(frames_around(folder, seq, around))
        if not made.frames:
            made.missing.append(f"the journal of {made.session} has no input {seq}")
        elif story["signal"] is not None:
            _features(made, folder, plan, story["signal"])
    except (OSError, ValueError, EOFError, LookupError) as error:
        made.missing.append(f"the journal of {made.session} cannot be read: {error}")
    return made


def frames_around(folder: Path, seq: int, n: int) -> Iterator[Frame]:
    """The input `seq` and `n` before and after it, in order; nothing where the journal does not reach it."""
    decoder = msgspec.json.Decoder(journal.Line)
    found: list[Frame] = []
    cache: dict[int, list[bytes]] = {}
    for text in journal.lines(folder, "journal"):
        line = decoder.decode(text)
        last = line.seq + max(line.frames, 1) - 1
        if last < seq - n:
            continue
        if line.seq > seq + n:
            break
        if line.input is not None:
            found.append(_input(line.seq, line.input, line.seq == seq))
            continue
        if line.file not in cache:
            cache[line.file] = journal.lines_of(folder, "frames", line.file)
        for k, row in enumerate(cache[line.file][line.line : line.line + line.frames]):
            own = line.seq + k
            if abs(own - seq) <= n:
                where = f"frames-{line.file:05d} line {line.line + k + 1}"
                payload = row.partition(b" ")[2]
                found.append(Frame(own, line.ts, "frame", _cut(payload), where, own == seq))
    return iter(found if any(one.led for one in found) else [])


def _input(seq: int, told: AnyInput, led: bool) -> Frame:
    return Frame(seq, told.ts, type(told).__name__, _cut(msgspec.json.encode(told)), "", led)


def _cut(payload: bytes) -> str:
    text = payload.decode("utf-8", "replace")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} bytes)"


def _features(made: Why, folder: Path, plan: Plan, signal: dict[str, Any]) -> None:
    """Run the session up to the signal, and read what the engine knew then."""
    state = engine.init(plan, journal.meta_of(folder)["started"])
    desk = state.desks[signal["symbol"]]
    for step in replay.steps(folder, state, plan):
        if step.seq + (step.n if step.told is not None else 1) - 1 >= signal["seq"]:
            break
    made.features_hash = desk.features_hash
    if desk.features is None or desk.features_hash != signal["features"]:
        made.missing.append(
            f"run again, the engine comes to other features ({desk.features_hash or 'none'}, kept {signal['features']}): "
            "another version of the code (scalp replay shows where they part)"
        )
        return
    made.features = {name: float(value) if isfinite(value) else None for name, value in zip(names(), desk.features.tolist(), strict=True)}
    if signal["version"]:
        model = next((m for m in plan.models if m.version == signal["version"]), None)
        if model is not None:
            made.model = {"version": model.version, "alias": model.alias, "window": model.window, "features": len(model.features)}
