"""`scalp kill` and `scalp rearm`: the kill switch in a terminal. They need no worker, and wait for none."""

import asyncio
import getpass
import json
import socket
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from scalp.console import err, out
from scalp.failures import FAILED, OK, UsageError, guarded

if TYPE_CHECKING:
    from core.settings import Settings
    from serving.exchange import Exchange
    from serving.killing import Killed, Switch

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the ledger.", show_default=False)]
Account = Annotated[
    str,
    typer.Option(
        "--account", help="<venue>/<name>. Default: all that a worker holds, and the last one of each exchange.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON.")]


def kill(
    flatten: Annotated[bool, typer.Option("--flatten", help="Also sell what is held (the worker does it; or the next one).")] = False,
    reason: Reason = "",
    account: Account = "",
    as_json: Json = False,
) -> None:
    """Stop trading now: block the account, cancel all its orders, and keep it blocked until `scalp rearm`.

    First the latch goes into the ledger, then the worker is told; where none answers the orders are cancelled at the venue from here.
    Exit code 0: blocked, and the venue says that nothing stands. 1: something of that is not known, it says what.

    \b
    scalp kill --reason "the spread looks wrong"
    scalp kill --flatten
    """
    raise typer.Exit(guarded(lambda: run_kill(flatten, reason, account, as_json)))


def rearm(reason: Reason = "", account: Account = "", as_json: Json = False) -> None:
    """Let an account trade again after a kill. Losses are counted anew from then on.

    \b
    scalp rearm --reason "the feed is back"
    """
    raise typer.Exit(guarded(lambda: run_rearm(reason, account, as_json)))


def run_kill(flatten: bool, reason: str, account: str, as_json: bool) -> int:
    from core import settings
    from core.ledger import LedgerError
    from serving import reach

    config = settings.load()
    switch = switch_of(config)
    try:
        accounts = [account] if account else of_ledger(switch, config)
    except LedgerError as error:  # the file blocks whoever trades from this folder
        accounts = [one.account for one in reach.all_of(config.data_dir)]
        err.print(f"[red]the ledger cannot be read:[/red] {escape(str(error))}", soft_wrap=True)
    if not accounts:
        from core.ledger_control import KILL_FILE

        config.data_dir.mkdir(parents=True, exist_ok=True)
        (config.data_dir / KILL_FILE).write_text(f"kill: {reason} ({who()})\n")
        out.print("no worker ever traded from this folder; the next one is blocked until scalp rearm")
        return OK

    async def all_of() -> "list[Killed]":
        return await asyncio.gather(*(switch.kill(one, reason or "scalp kill", who(), flatten=flatten) for one in accounts))

    told = asyncio.run(all_of())
    if as_json:
        import msgspec

        print(json.dumps(msgspec.to_builtins(told)), flush=True)
    else:
        for one in told:
            show(one, flatten)
    return OK if all(one.done for one in told) else FAILED


def show(told: "Killed", flatten: bool) -> None:
    by = {"worker": "by the worker", "here": "from here", "": "by nobody"}[told.cancelled]
    blocked = "blocked" if told.latched else "[red]NOT in the ledger[/red]"
    standing = {None: "[red]what stands is not known[/red]", 0: f"nothing stands after {told.ms:,.0f} ms"}.get(
        told.standing, f"[red]{told.standing} orders stand[/red]"
    )
    out.print(f"{escape(told.account)}: {blocked}, orders cancelled {by}, {standing}", soft_wrap=True)
    for why in told.failed:
        err.print(f"[red]failed:[/red] {escape(why)}", soft_wrap=True)
    if flatten and not told.worker:
        out.print("no worker lives to sell what is held: the next scalp live does it before anything else", soft_wrap=True)


def run_rearm(reason: str, account: str, as_json: bool) -> int:
    from core import settings
    from core.ledger import LedgerError
    from core.ledger_control import KILL_FILE, latches

    if not reason.strip():
        raise UsageError("re-arming needs a reason, it is kept in the ledger: scalp rearm --reason TEXT")
    config = settings.load()
    switch = switch_of(config)
    try:
        with switch.ledger.read() as connection:
            blocked = latches(connection)
        if account and account not in blocked:
            raise UsageError(f"{account} is not blocked; " + (f"{', '.join(blocked)} is" if blocked else "no account is"))
        done = {one: asyncio.run(switch.rearm(one, reason, who())) for one in ([account] if account else blocked)}
        lifted = switch.unblock()
    except LedgerError as error:
        err.print(f"[red]failed:[/red] {escape(str(error))}", soft_wrap=True)
        return FAILED
    if as_json:
        print(json.dumps(done), flush=True)
        return OK
    for one, by in done.items():
        out.print(f"{escape(one)}: re-armed" + (", the worker counts losses anew" if by == "worker" else ""))
    if not done:
        out.print("no account is blocked" + (f"; the file {KILL_FILE}, which would have blocked the next one, is gone" if lifted else ""))
    return OK


def of_ledger(switch: "Switch", config: "Settings") -> list[str]:
    """Whom a kill without a name means. Raises `LedgerError`."""
    from serving.killing import accounts

    return accounts(switch.ledger, config.exchange.name, time.time_ns())


def switch_of(config: "Settings") -> "Switch":
    from core.ledger import url_of
    from scalp.live_paper import account_name
    from scalp.live_wanted import reach_of
    from serving import reach
    from serving.killing import Switch
    from serving.venue_keys import KEY, SECRET

    key, secret = config.exchange.api_key.get_secret_value(), config.exchange.api_secret.get_secret_value()

    def made(account: str) -> "Exchange | None":
        known = reach.read(config.data_dir, account)
        if known is None:
            if account not in (f"{config.exchange.name}/main", account_name(config)):
                return None
            known = reach_of(config, account, "usdm")
        usual = (KEY, SECRET) if known.name == "local" and not key else (key, secret)
        return reach.exchange_of(known, *usual)

    return Switch(url_of(config.data_dir, config.ledger.url), config.data_dir, made, time.time_ns)


def who() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        name = "somebody"
    return f"{name}@{socket.gethostname()}"
