"""What people and other processes ask of the worker: written into the ledger first, done once by its key, answered there.

    REST, ledger (scalp kill, rearm), a file -> Command -> engine -> decisions -> answer in the ledger

A kill needs none of that to work: the latch in the ledger and the file are looked at a few times a second.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from core import ledger_control
from core.events import Approved, Cancel, CancelAll, Command, CommandKind, Decision, Incident, ModeChanged, Refused
from core.ledger import Ledger
from core.ledger_control import KILL_FILE
from core.market import Side
from core.orders import Kind, Order, Tif
from serving.worker import Worker

log = logging.getLogger(__name__)
LOOK_S = 0.1  # between looks at the ledger and the file
ANSWER_S = 2.0  # the engine has so long
LASTING = (CommandKind.KILL, CommandKind.FLATTEN)  # done also where nobody was there when they were asked for


class Asked(Struct, frozen=True, omit_defaults=True):
    """An order by hand, in the units of its listing; or the id of one to cancel."""

    symbol: str = ""
    side: Side = Side.BUY
    size: int = 0
    price: int = 0
    kind: Kind = Kind.LIMIT
    tif: Tif = Tif.GTC
    reduce_only: bool = False
    order_id: str = ""

    def order(self, ts: int) -> Order | None:
        if not self.symbol and not self.order_id:
            return None
        return Order(
            order_id=self.order_id, symbol=self.symbol, side=self.side, size=self.size, price=self.price, kind=self.kind, tif=self.tif,
            reduce_only=self.reduce_only, ts=ts,
        )  # fmt: skip


class OtherRequest(ValueError):
    """The same key was used for something else."""


class Control:
    """`ask` from REST; `run` looks for what others left."""

    def __init__(self, worker: Worker, ledger: Ledger, account: str, clock: Callable[[], int], data_dir: Path) -> None:
        self.worker, self.ledger, self.account, self.clock, self.file = worker, ledger, account, clock, data_dir / KILL_FILE
        self.started = clock()
        self.doing: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.done: set[str] = set()  # keys from REST: they may have been seen without an answer
        self.seen_latch = self.seen_file = 0

    async def ask(self, key: str, kind: CommandKind, who: str, reason: str, asked: Asked) -> tuple[dict[str, Any], bool]:
        """(answer, whether it is the one of an earlier request). Raises `OtherRequest`."""
        told = to_json(asked)
        if (under_way := self.doing.get(key)) is None:
            under_way = self.doing[key] = asyncio.get_running_loop().create_future()
            try:
                answer, again = await self._once(key, kind, who, reason, asked, told)
                under_way.set_result(answer | {"_asked": told, "_kind": kind.value})
            except BaseException as error:
                under_way.set_exception(error)
                under_way.exception()  # whoever waits for it is told; nobody may be
                raise
            finally:
                del self.doing[key]
                self.done.add(key)
            return answer, again
        answer = dict(await asyncio.shield(under_way))
        if (answer.pop("_asked"), answer.pop("_kind")) != (told, kind.value):
            raise OtherRequest(f"the key {key} was used for another request")
        return answer, True

    async def _once(
        self, key: str, kind: CommandKind, who: str, reason: str, asked: Asked, told: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        now = self.clock()
        # A kill is carried out first and written down then.
        answer = await self.carry_out(key, kind, who, reason, asked) if kind in LASTING else None
        row = await asyncio.to_thread(ledger_control.ask, self.ledger, self.account, key, kind.value, who, now, reason=reason, asked=told)
        if row["ts"] != now or row["who"] != who:
            if row["kind"] != kind.value or row["asked"] != told:
                raise OtherRequest(f"the key {key} was used for another request ({row['kind']})")
            return row["answer"] or unknown(), True
        answer = answer or await self.carry_out(key, kind, who, reason, asked)
        await asyncio.to_thread(ledger_control.answer, self.ledger, self.account, key, answer)
        return answer, False

    async def carry_out(self, key: str, kind: CommandKind, who: str, reason: str, asked: Asked) -> dict[str, Any]:
        """Through the engine; what it decided at once."""
        ts = self.clock()
        told = Command(ts=ts, kind=kind, key=key, who=who, reason=reason, order=asked.order(ts))
        if kind is CommandKind.REARM:
            if not reason.strip():
                return {"outcome": "refused", "code": "rearm_refused", "detail": "re-arming needs a reason: it is kept in the ledger"}
            await asyncio.to_thread(ledger_control.rearm, self.ledger, self.account, reason, who, ts)
        try:
            decisions = await asyncio.wait_for(self.worker.command(told), ANSWER_S)
        except TimeoutError:
            return {"outcome": "unknown", "detail": f"the engine did not answer within {ANSWER_S:g} s"}
        return summed_up(decisions, self.worker.desk.blocked, self.worker.desk.turned_away)

    async def run(self) -> None:
        """Look at latch, file and ledger until cancelled."""
        while True:
            await self._file()
            latch, rows = await asyncio.to_thread(self._look)
            if latch is not None and latch["ts"] != self.seen_latch:
                self.seen_latch = int(latch["ts"])
                if not self.worker.state.latched:
                    key = f"latch-{latch['ts']}"
                    await self.carry_out(key, CommandKind.KILL, str(latch["who"]), str(latch["reason"]), Asked())
            for row in rows:
                if row["key"] not in self.done and row["key"] not in self.doing:
                    await self._left(row)
            await asyncio.sleep(LOOK_S)

    def _look(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        with self.ledger.read() as connection:
            return ledger_control.latched(connection, self.account), ledger_control.waiting(connection, self.account)

    async def _left(self, row: dict[str, Any]) -> None:
        """A command that another process left in the ledger."""
        key = str(row["key"])
        try:
            kind, asked = CommandKind(row["kind"]), from_json(row["asked"])
        except ValueError as error:
            answer = {"outcome": "refused", "code": "unreadable", "detail": str(error)}
        else:
            if int(row["ts"]) < self.started and kind not in LASTING:
                answer = {"outcome": "expired", "detail": "no worker was there; ask again with another key"}
            else:
                answer = await self.carry_out(key, kind, str(row["who"]), str(row["reason"]), asked)
        await asyncio.to_thread(ledger_control.answer, self.ledger, self.account, key, answer)

    async def _file(self) -> None:
        """A file named KILL in the data folder: it says why (and "flatten" first, where that is wanted), and has to be gone before trading
        begins again."""
        try:
            changed = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self.seen_file or not self.worker.state.latched:
            self.seen_file = changed
            reason = self.file.read_text(errors="replace").strip()[:500] or "no reason given"
            first, _, rest = reason.partition(": ")  # as scalp kill writes it
            kind = CommandKind.FLATTEN if first == CommandKind.FLATTEN.value else CommandKind.KILL
            reason = rest if first in (CommandKind.KILL.value, CommandKind.FLATTEN.value) and rest else reason
            await self.carry_out(f"file-{changed}-{self.clock()}", kind, f"file {self.file.name}", reason, Asked())


def summed_up(decisions: Sequence[Decision], blocked: str, turned_away: Mapping[str, str]) -> dict[str, Any]:
    """Decisions as an answer: `outcome` is approved, refused or done."""
    orders = [d.order_id for d in decisions if isinstance(d, Cancel)]
    for decision in decisions:
        if isinstance(decision, Approved):
            if why := blocked or turned_away.get(decision.order.order_id):
                return {"outcome": "refused", "code": "blocked", "detail": why}
            return {"outcome": "approved", "order_id": decision.order.order_id}
        if isinstance(decision, Refused):
            return {"outcome": "refused", "code": decision.code, "detail": decision.detail}
        if isinstance(decision, Incident) and decision.kind in ("no_such_order", "unlisted", "rearm_refused"):
            return {"outcome": "refused", "code": decision.kind, "detail": decision.detail}
    answer: dict[str, Any] = {"outcome": "done"}
    if changed := [d for d in decisions if isinstance(d, ModeChanged)]:
        answer |= {"mode": changed[-1].mode.value, "detail": changed[-1].reason}
    if orders or any(isinstance(d, CancelAll) for d in decisions):
        answer["cancelled"] = orders or "all"
    return answer


def unknown() -> dict[str, Any]:
    return {"outcome": "unknown", "detail": "an earlier worker had this request and ended before it answered; look at the orders"}


def to_json(asked: Asked) -> dict[str, Any]:
    return msgspec.to_builtins(asked)


def from_json(told: Any) -> Asked:
    return msgspec.convert(told or {}, Asked)
