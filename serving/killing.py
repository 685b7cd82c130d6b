"""The kill switch from outside the worker: the latch, then the worker, then the venue itself. Each step is tried whatever the last one did.

latch in the ledger -> file KILL, command in the ledger -> the worker's answer, or cancel at the venue -> what stands there now
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from core import ledger_control
from core.events import CommandKind
from core.ledger import Ledger, LedgerError
from core.ledger_control import KILL_FILE
from serving.exchange import Exchange, ExchangeError

WORKER_S = 1.0  # the worker has so long to say that it heard
LEDGER_S = 0.5  # the ledger has so long before the venue is asked; it is waited for again at the end
OPEN_S = 5.0
LOOK_S = 0.05
Opened = tuple[Exchange, tuple[str, ...]]  # and its symbols
Made = Callable[[str], Exchange | None]  # by account; None: nobody knows where it trades


class Killed(Struct, kw_only=True):
    """What became of it. `standing`: orders that the venue still lists, None where it could not be asked."""

    account: str
    latched: bool = False
    worker: str = ""  # its answer; empty: none lives
    cancelled: str = ""  # by whom: worker, or here
    standing: int | None = None
    ms: float = 0.0  # until nothing stood any more
    failed: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Blocked, and known to have nothing open."""
        return self.latched and self.standing == 0


async def cancel_everything(exchange: Exchange, symbols: Sequence[str], tries: int, *, stops: bool = True) -> str:
    """Cancel all orders of these symbols (`stops`: also those behind positions), again and again where it fails; returns what failed
    last, empty where it is done."""
    why = ""
    for attempt in range(tries):
        if attempt:
            await asyncio.sleep(min(0.1 * 2**attempt, 2.0))
        try:
            answer = await asyncio.wait_for(exchange.cancel_all(symbols, stops=stops), 2.0)
        except (ExchangeError, TimeoutError) as error:
            why = str(error) or "no answer within 2 s"
            continue
        if answer.known and not answer.rejected:
            return ""
        why = answer.reason
    return why


def accounts(ledger: Ledger, exchange: str, now: int) -> list[str]:
    """Whom a kill without a name means: every account that a worker holds now, the last one held on each exchange, and `exchange`'s own."""
    with ledger.read() as connection:
        held = ledger_control.leases(connection)
    found = [lease.account for lease in held if lease.until > now]
    seen: set[str] = set()
    for lease in held:
        of = lease.account.partition("/")[0]
        if of not in seen and lease.account not in found:
            found.append(lease.account)
        seen.add(of)
    if not seen & {exchange, f"paper-{exchange}"} and exchange != "local":
        found.append(f"{exchange}/main")
    return found


class Switch:
    """`made`: the exchange of an account, not opened. `clock`: UTC ns. `data_dir`: where the file KILL goes."""

    def __init__(self, url: str, data_dir: Path, made: Made, clock: Callable[[], int]) -> None:
        self.url, self.data_dir, self.made, self.clock = url, data_dir, made, clock
        self._opened: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """Opened once: that costs more than all the rest. Raises `LedgerError`."""
        if self._opened is None:
            self._opened = Ledger(self.url)
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    async def kill(self, account: str, reason: str, who: str, *, flatten: bool = False) -> Killed:
        """Block an account, take its orders away, and look whether they are gone. Raises nothing that could be told instead."""
        began: int = self.clock()
        failed: list[str] = []
        key = f"kill-{began}"
        kind = CommandKind.FLATTEN if flatten else CommandKind.KILL
        opening = asyncio.create_task(self._open(account))  # meanwhile
        writing = asyncio.create_task(asyncio.to_thread(self._latch, account, key, kind, reason, who))
        await asyncio.wait({writing}, timeout=LEDGER_S)
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            (self.data_dir / KILL_FILE).write_text(f"{kind.value}: {reason} ({who})\n")
        except OSError as error:
            failed.append(f"the file {KILL_FILE}: {error}")
        heard = None
        if writing.done() and writing.exception() is None and writing.result():
            try:
                heard = await self._heard(account, key)
            except LedgerError as error:
                failed.append(str(error))
        told = Killed(account=account, worker=str(heard.get("outcome", "")) if heard is not None else "")
        told.cancelled = "worker" if heard is not None else ""
        await self._at_venue(opening, told, failed, began)
        try:
            await writing
            told.latched = True
        except (LedgerError, OSError) as error:
            failed.append(f"the latch is not in the ledger ({error}); the file {self.data_dir / KILL_FILE} blocks workers of this folder")
        if told.done:
            try:
                await asyncio.to_thread(self._note, account, told.ms)
            except LedgerError as error:
                failed.append(f"the drill is not in the ledger: {error}")
        told.failed = tuple(failed)
        return told

    def _latch(self, account: str, key: str, kind: CommandKind, reason: str, who: str) -> bool:
        """The latch, then the command; whether a worker holds the account. Raises `LedgerError`."""
        now = self.clock()
        ledger = self.ledger
        with ledger_control.reached(ledger):
            ledger_control.latch(ledger, account, reason, who, now)
            ledger_control.ask(ledger, account, key, kind.value, who, now, reason=reason)
            return self._lives(account, now)

    def _lives(self, account: str, now: int) -> bool:
        with self.ledger.read() as connection:
            return any(lease.account == account and lease.until > now for lease in ledger_control.leases(connection))

    async def _heard(self, account: str, key: str) -> dict[str, Any] | None:
        """The worker's answer; None where it did not answer in time."""
        for _ in range(round(WORKER_S / LOOK_S)):
            with ledger_control.reached(self.ledger), self.ledger.read() as connection:
                if (answer := ledger_control.answered(connection, account, key)) is not None:
                    return answer
            await asyncio.sleep(LOOK_S)
        return None

    async def _open(self, account: str) -> Opened:
        """The exchange and what is traded there. Raises `ExchangeError`."""
        exchange = self.made(account)
        if exchange is None:
            raise ExchangeError(f"nothing is known of where {account} trades: no worker of this folder ever had it")
        try:
            return exchange, tuple(await asyncio.wait_for(exchange.open(), OPEN_S))
        except BaseException:
            await exchange.close()
            raise

    async def _at_venue(self, opening: "asyncio.Task[Opened]", told: Killed, failed: list[str], began: int) -> None:
        """Look what stands; cancel where nobody did, or where something came late."""
        try:
            exchange, symbols = await opening
        except (ExchangeError, TimeoutError) as error:
            failed.append(f"the venue cannot be reached: {error or 'no answer'}")
            return
        try:
            for attempt in range(5):
                if not told.cancelled or attempt > 1:
                    if why := await cancel_everything(exchange, symbols, 3):
                        failed.append(f"orders could not be cancelled: {why}")
                    told.cancelled = told.cancelled or ("" if why else "here")
                told.standing = len(await exchange.open_orders(symbols))
                told.ms = (self.clock() - began) / 1e6
                if not told.standing and told.cancelled:
                    return
                await asyncio.sleep(0.2)
        except ExchangeError as error:
            failed.append(f"the venue cannot be asked: {error}")
        finally:
            await exchange.close()

    def _note(self, account: str, ms: float) -> None:
        """A kill that took everything away is evidence that it works."""
        with ledger_control.reached(self.ledger):
            ledger_control.note(self.ledger, account, "kill_drill", self.clock(), ms)

    def unblock(self) -> bool:
        """Take the file away; whether there was one."""
        try:
            (self.data_dir / KILL_FILE).unlink()
        except FileNotFoundError:
            return False
        return True

    async def rearm(self, account: str, reason: str, who: str) -> str:
        """Let the account trade again; how it was done: "worker" (it counts losses anew), "ledger" where none lives, "was not blocked".

        Raises `ValueError` without a reason, `LedgerError`.
        """
        if not reason.strip():
            raise ValueError("re-arming needs a reason: it is kept in the ledger")
        self.unblock()
        now, ledger = self.clock(), self.ledger
        with ledger_control.reached(ledger):
            with ledger.read() as connection:
                if ledger_control.latched(connection, account) is None:
                    return "was not blocked"
                # Kills that nobody has carried out would be carried out by the next worker.
                left = [row for row in ledger_control.waiting(connection, account) if row["kind"] in ("kill", "flatten")]
            for row in left:
                told = {"outcome": "done", "detail": f"re-armed by {who} before a worker came"}
                ledger_control.answer(ledger, account, str(row["key"]), told)
            if self._lives(account, now):
                key = f"rearm-{now}"
                ledger_control.ask(ledger, account, key, CommandKind.REARM.value, who, now, reason=reason)
                if await self._heard(account, key) is not None:
                    return "worker"
                ledger_control.answer(ledger, account, key, {"outcome": "expired", "detail": "the worker did not answer"})
            ledger_control.rearm(ledger, account, reason, who, now)
        return "ledger"
