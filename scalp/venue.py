"""`scalp venue`: the exchange simulator in a terminal."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from scalp.console import counted, err, out
from scalp.failures import FAILED, OK, UsageError, guarded

TIMES = ("scaled", "shifted", "kept")


def venue(
    *,
    source: Annotated[
        Path | None, typer.Option("--from", help="A recording, or a folder of them (spot or USD-M).", show_default=False)
    ] = None,
    generated: Annotated[bool, typer.Option("--generated", help="A made-up market that never ends (settings: generator).")] = False,
    speed: Annotated[float | None, typer.Option(min=0, help="Times life; 0: as fast as it goes.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Of REST; 0 takes a free one.", show_default=False)] = None,
    ws_port: Annotated[int, typer.Option(help="Of the WebSockets; 0 takes a free one.")] = 0,
    times: Annotated[str, typer.Option(help="At another speed than 1: scaled times, or shifted as they are apart; or kept.")] = "scaled",
    keep_times: Annotated[bool, typer.Option("--keep-times", help="The recorded times, exactly: --times kept.")] = False,
    loop: Annotated[bool | None, typer.Option("--loop/--once", help="Begin again at the end.", show_default=False)] = None,
    feed_ms: Annotated[float | None, typer.Option(min=0, help="Latency of what the streams send.", show_default=False)] = None,
    order_ms: Annotated[float | None, typer.Option(min=0, help="Latency of an order on its way in.", show_default=False)] = None,
    response_ms: Annotated[float | None, typer.Option(min=0, help="Latency of its answer.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Where it is, and how it goes on, as lines of JSON.")] = False,
) -> None:
    """A local exchange that speaks Binance's protocol, to trade a recording against. Until Ctrl-C.

    Its key is venue-key, its secret venue-secret, or those of the settings (exchange.api_key). GET /venue says where everything is; POST
    /faults makes things go wrong, for tests. What is not given here is what the settings say (venue.speed and the like).

    \b
    scalp venue --from ../shared/data/hftbacktest/usdm --speed 4
    scalp venue --generated --port 8080 --order-ms 5 --response-ms 5
    """
    given = {"speed": speed, "port": port, "loop": loop, "feed_ms": feed_ms, "order_ms": order_ms, "response_ms": response_ms}
    changed = {name: value for name, value in given.items() if value is not None}

    def run() -> int:
        return serve(None if generated else source, generated, changed, ws_port, "kept" if keep_times else times, as_json)

    raise typer.Exit(guarded(run))


def serve(source: Path | None, generated: bool, changed: dict[str, Any], ws_port: int, times: str, as_json: bool) -> int:
    """Run a venue until it is told to stop. Returns the exit code; raises `UsageError`, `SettingsError`."""
    import asyncio

    from core import settings
    from serving.venue import VenueError
    from serving.venue_process import serve, tape_of, venue_of
    from serving.venue_tape import TapeError

    if source is None and not generated:
        raise UsageError("give a recording with --from (../shared/data/hftbacktest/usdm is one), or --generated for a made-up market")
    if times not in TIMES:
        raise UsageError(f"--times {times}: one of {', '.join(TIMES)}")
    config = settings.load()
    begun = time.monotonic()
    try:
        tape = tape_of(source, config)
        made = venue_of(
            tape,
            config.venue.model_copy(update=changed),
            ws_port=ws_port,
            times=times,
            key=config.exchange.api_key.get_secret_value(),
            secret=config.exchange.api_secret.get_secret_value(),
        )
        asyncio.run(serve(made, lambda state: told(state, as_json), lambda state: progress(state, as_json, begun)))
    except TapeError as error:
        raise UsageError(str(error)) from error
    except VenueError as error:
        err.print(f"[red]failed:[/red] {escape(str(error))}", soft_wrap=True)
        return FAILED
    if not as_json:
        out.print("\nstopped")
    return OK


def told(state: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(state), flush=True)
        return
    urls = state["urls"]
    out.print(f"[bold]{escape(state['source'])}[/bold]: {state['kind']}, {', '.join(state['symbols'])}")
    out.print(
        f"  REST            {urls['rest']}\n  streams         {urls['ws']}/ws, {urls['ws']}/stream\n  WebSocket API   {urls['ws_api']}"
    )
    out.print("  Ctrl-C ends it")


def progress(state: dict[str, Any], as_json: bool, begun: float) -> None:
    if as_json:
        print(json.dumps(state), flush=True)
    elif sys.stdout.isatty():
        where = " · the recording has ended" if state["ended"] else ""
        line = (
            f"{time.monotonic() - begun:7.0f} s · {counted(state['frames'], 'frame')} · {counted(state['clients'], 'client')}, "
            f"{state['sent']:,} sent · {counted(state['open_orders'], 'open order')}{where}"
        )
        print(f"\r\x1b[K{line}", end="", flush=True)
