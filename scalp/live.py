"""`scalp live` and `scalp record`: the worker in a terminal, with all it needs started and stopped around it."""

import asyncio
import contextlib
import logging
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from scalp.console import counted, err
from scalp.failures import FAILED, OK, REFUSED, UsageError, guarded
from scalp.live_paper import account_name, traded
from scalp.live_shown import Shown, told_what
from scalp.live_venue import at, local_venue, running_venue
from scalp.live_wanted import LOCAL, api_key, wanted_of

if TYPE_CHECKING:
    from core.settings import Settings
    from serving.exchange import Exchange
    from serving.gate import Missing

log = logging.getLogger("scalp")
STATUS_S = 10.0

Name = Annotated[
    str,
    typer.Option(
        "--venue",
        help="local, binance-spot, binance-usdm, ccxt:<id>. Default: SCALP_EXCHANGE__NAME, else local.",
        show_default=False,
    ),
]
Source = Annotated[
    str, typer.Option("--source", help="For the local venue: a recording or a folder of them, or generated.", show_default=False)
]
Speed = Annotated[float | None, typer.Option(min=0, help="For the local venue: times life.", show_default=False)]
Minutes = Annotated[float, typer.Option(min=0, help="Stop after so long; 0: until Ctrl-C.")]
Json = Annotated[bool, typer.Option("--json", help="What happens as lines of JSON: those of /stream.")]


def live(venue: Name = "", source: Source = "", speed: Speed = None, minutes: Minutes = 0, as_json: Json = False) -> None:
    """Trade: on paper against the local venue, or on an exchange. Until Ctrl-C, which stops in order: orders cancelled, all written down.

    Against the local venue one command is all: it starts the simulator, takes the account, and serves signals on /stream. An exchange
    is traded on paper too (its market, and an account in this process) unless SCALP_LIVE=true and all that it asks for is there.

    \b
    scalp live --venue local
    scalp live --venue local --source ../shared/data/hftbacktest/usdm --speed 4 --minutes 5
    scalp live --venue binance-usdm
    """
    raise typer.Exit(guarded(lambda: run(venue, source, speed, minutes, as_json, trades=True)))


def record(venue: Name = "", source: Source = "", speed: Speed = None, minutes: Minutes = 0, as_json: Json = False) -> None:
    """Keep every frame of a venue as a recording, without trading. `scalp ingest --source recordings` reads it.

    \b
    scalp record --venue binance-usdm --minutes 60
    """
    raise typer.Exit(guarded(lambda: run(venue, source, speed, minutes, as_json, trades=False)))


def run(venue: str, source: str, speed: float | None, minutes: float, as_json: bool, *, trades: bool) -> int:
    """Returns the exit code. Raises `UsageError`, `SettingsError`, `ServiceError`, `OSError`."""
    from core import settings
    from core.ledger import LedgerError
    from serving.exchange import ExchangeError
    from serving.fanout import FanOutError
    from serving.launch import Refused

    config = settings.load()
    name = venue or config.exchange.name
    if name != LOCAL and (source or speed is not None):
        raise UsageError("--source and --speed are of the local venue; an exchange has a market of its own")
    config = config.model_copy(update={"exchange": config.exchange.model_copy(update={"name": name})})
    if config.execution.venue_stop and config.live and name.startswith("ccxt:"):
        raise UsageError("SCALP_EXECUTION__VENUE_STOP: stops at the venue are for local, binance-usdm and paper, not for ccxt's exchanges")
    if name != LOCAL and config.live and trades and (missing := not_live(config, name)):
        for one in missing:
            err.print(f"[red]refused:[/red] {escape(one.what)}: {escape(one.do)}", soft_wrap=True)
        return REFUSED
    shown = Shown(as_json)
    try:
        with contextlib.ExitStack() as stack:
            kind = "usdm"
            account = account_name(config)
            if name == LOCAL:
                if not config.exchange.rest_url:
                    simulator = local_venue(config, source, speed, stack)
                else:
                    simulator = running_venue(config.exchange.rest_url)
                kind, account = simulator["kind"], f"{LOCAL}/{simulator['kind']}-{simulator['started']}"
                config = config.model_copy(update={"exchange": at(config.exchange, simulator)})
                shown.line(f"local venue: {simulator['source']}, {simulator['kind']}, {', '.join(simulator['symbols'])}")
            if trades and name == LOCAL:
                keep_latch(config, account)
            if trades:
                return asyncio.run(trade(config, kind, account, minutes, shown))
            return asyncio.run(keep(config, kind, minutes, shown))
    except (Refused, LedgerError) as error:
        err.print(f"[red]refused:[/red] {escape(str(error))}", soft_wrap=True)
        return REFUSED
    except (ExchangeError, FanOutError) as error:
        err.print(f"[red]failed:[/red] {escape(str(error))}", soft_wrap=True)
        return FAILED
    except LookupError as error:  # a strategy that is not there
        raise UsageError(str(error).strip("'\"")) from error


def not_live(config: "Settings", name: str) -> "list[Missing]":
    """What is missing before orders may go to a real exchange. Raises `LedgerError`."""
    from core.ledger import Ledger, url_of
    from core.serving_record import read_record, record_path
    from serving import gate

    if missing := gate.keys(name, config.live, config.exchange.confirm):
        return missing
    record = read_record(record_path(config.data_dir)) if config.model.use != "none" else None
    champion = record.serving("champion") if record is not None else None
    with Ledger(url_of(config.data_dir, config.ledger.url)) as ledger, ledger.read() as connection:
        return gate.evidence(
            connection, f"{name}/main", time.time_ns(), paper_hours=config.stream.paper_hours,
            champion=champion.version_id if champion is not None else "",
        )  # fmt: skip


def keep_latch(config: "Settings", account: str) -> None:
    """A new simulator is a new account; a kill switch that was on stays on all the same. Raises `LedgerError`."""
    from core import ledger_control
    from core.ledger import Ledger, url_of

    with Ledger(url_of(config.data_dir, config.ledger.url)) as ledger:
        with ledger.read() as connection:
            before = next((lease.account for lease in ledger_control.leases(connection) if lease.account.startswith(f"{LOCAL}/")), account)
            latch = ledger_control.latched(connection, before)
        if latch is not None and before != account:
            ledger_control.latch(ledger, account, f"still on since {before}: {latch['reason']}", str(latch["who"]), time.time_ns())


# Trading


async def trade(config: "Settings", kind: Any, account: str, minutes: float, shown: Shown) -> int:
    """A session of the worker, from launch to a graceful stop."""
    from serving.control import Control
    from serving.deployed import deployed
    from serving.fanout import FanOut
    from serving.launch import launch
    from serving.stream import Stream

    stop = stopping()
    models = deployed(config.data_dir, config.model.use, config.model.fallback, shown.line)
    exchange = traded(config, kind, account)
    shown.line("compiling the engine (seconds; a minute the first time)")
    launched = await launch(wanted_of(config, account, models, kind), exchange, time.time_ns, shown.line)
    worker, data_dir = launched.worker, config.data_dir
    control = Control(worker, launched.ledger, account, time.time_ns, data_dir)
    fanout = FanOut(data_dir / "logs" / "fanout.log", host=config.stream.host, queue=config.stream.client_queue)
    about = {"session": launched.session, "account": account, "venue": launched.plan.venue, "paper": launched.wanted.paper}
    stream = Stream(worker, control, about, api_key=api_key(config), queue=config.stream.client_queue, fanout=fanout)
    try:
        await stream.start(config.stream.host, config.stream.port)
        told_what(launched, stream, fanout, config, shown)
        stream.heard = shown.update
        running = asyncio.create_task(worker.run(), name="worker")
        ending = asyncio.create_task(stop.wait())
        until = time.monotonic() + minutes * 60 if minutes else float("inf")
        while not running.done() and not stop.is_set() and (left := until - time.monotonic()) > 0:
            await asyncio.wait({running, ending}, timeout=min(STATUS_S, left), return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and not stop.is_set():
                shown.status(launched)
        ending.cancel()
        if running.done():
            running.result()  # raises what kept it from beginning
    finally:
        shown.line("stopping: " + ("orders are kept" if launched.wanted.rules.keep_orders_on_stop else "orders are cancelled"))
        await launched.close()
        await stream.stop()
    shown.end(launched)
    if worker.failed:
        err.print(f"[red]failed:[/red] {escape('; '.join(f'{name}: {why}' for name, why in worker.failed.items()))}", soft_wrap=True)
        return FAILED
    return OK


def stopping() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM; a second one ends at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    return stop


# Recording


async def keep(config: "Settings", kind: Any, minutes: float, shown: Shown) -> int:
    """Frames of the market, and a snapshot of each book, into a folder of recordings until told to stop."""
    from serving import adapters
    from serving.recording import Recording

    stop = stopping()
    exchange: Exchange = adapters.made(config.exchange, kind=kind, venue=LOCAL if config.exchange.name == LOCAL else "")
    folder = config.data_dir / "sessions" / f"{exchange.venue}-{datetime.now(UTC):%Y%m%dT%H%M%S}-record"
    recording = Recording(exchange, folder, rotate_mb=config.stream.rotate_mb, clock=time.time_ns)
    try:
        symbols = await recording.open(config.exchange.symbols)
        shown.line(f"recording {', '.join(symbols)} of {exchange.venue} into {folder}; nothing is traded")
        running = asyncio.create_task(recording.run(), name="recording")
        ending = asyncio.create_task(stop.wait())
        until = time.monotonic() + minutes * 60 if minutes else float("inf")
        while not running.done() and not stop.is_set() and (left := until - time.monotonic()) > 0:
            await asyncio.wait({running, ending}, timeout=min(STATUS_S, left), return_when=asyncio.FIRST_COMPLETED)
            shown.line(f"{counted(recording.n_frames, 'frame')}, {recording.n_bytes / 1e6:,.1f} MB")
        ending.cancel()
        if running.done():
            running.result()
        else:
            running.cancel()
    finally:
        await recording.close()
    shown.line(
        f"recorded {counted(recording.n_frames, 'frame')} in {folder}; scalp ingest --source recordings --from {folder.parent} reads them"
    )
    return OK
