"""`scalp replay`: a session again, or a backtest over recordings and the lake."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.markup import escape

from scalp.console import counted, err, out
from scalp.failures import FAILED, OK, UsageError, guarded

if TYPE_CHECKING:
    from core.events import Ask, Decision
    from core.inference import Answers
    from core.settings import Settings
    from kernels.engine_plan import Plan
    from serving.replay import Replayed

LATEST = "latest"


def replay(
    session: Annotated[str, typer.Argument(help="A session's name, its folder, or `latest`.", show_default=False)] = "",
    *,
    listing: Annotated[bool, typer.Option("--list", help="The sessions that were kept, newest first.")] = False,
    predict: Annotated[bool, typer.Option("--predict", help="Ask the models again, and compare with what they answered then.")] = False,
    recording: Annotated[
        Path | None, typer.Option("--recording", help="Backtest over a recording (or a folder of them).", show_default=False)
    ] = None,
    generated: Annotated[float, typer.Option("--generated", min=0, help="Backtest over so many minutes of the made-up market.")] = 0.0,
    start: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Backtest over the lake: first day.", show_default=False)
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; the first alone.", show_default=False)
    ] = None,
    venue: Annotated[str, typer.Option("--venue", help="Of the lake: binance-usdm or binance-spot.")] = "binance-usdm",
    symbol: Annotated[str, typer.Option("--symbol", help="What is traded; the recording's only one.", show_default=False)] = "",
    strategy: Annotated[str, typer.Option("--strategy", help="By name or path; that of the settings.", show_default=False)] = "",
    page: Annotated[Path | None, typer.Option("--out", help="Where the page of a backtest is written.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Run a session again through the same engine and compare every decision; or run the strategy over recorded markets.

    A replay with no difference proves that the session is what its journal says. A backtest trades with the venue's matching kernel, and
    is told twice: nobody ahead of us in the queue (optimistic), and everybody (pessimistic).

    \b
    scalp replay --list
    scalp replay latest --predict
    scalp replay --recording ../shared/data/hftbacktest/usdm/btcusdt_20240808.gz --out backtest.html
    scalp replay --generated 10
    scalp replay --from 2024-08-08 --to 2024-08-09 --symbol BTCUSDT --strategy ./mine.py
    """

    def run() -> int:
        from core import settings

        config = settings.load()
        if listing:
            return list_sessions(config.data_dir, as_json)
        if recording is not None or start is not None or generated:
            from scalp import backtesting

            if session or predict:
                raise UsageError(
                    "a session is replayed as it was: --recording and --from are for a backtest, without SESSION and --predict"
                )
            source = backtesting.Source(recording, start, end, generated, venue, symbol)
            return backtesting.run(config, source, strategy, page, as_json)
        if not session:
            raise UsageError("name a session (scalp replay --list), or a market for a backtest (--recording FILE, --from DAY)")
        return again(config, session, predict, as_json)

    raise typer.Exit(guarded(run))


def folders(data_dir: Path) -> list[Path]:
    """Sessions that have a journal, newest first."""
    found = [path.parent for path in (data_dir / "sessions").glob("*/meta.json") if any(path.parent.glob("journal-*"))]
    return sorted(found, key=lambda folder: (folder / "meta.json").stat().st_mtime, reverse=True)


def list_sessions(data_dir: Path, as_json: bool) -> int:
    from serving import journal

    rows: list[dict[str, Any]] = []
    for folder in folders(data_dir):
        meta = journal.meta_of(folder)
        plan = meta.get("plan", {})
        rows.append(
            {
                "session": folder.name,
                "started": meta.get("started", 0),
                "symbols": list(plan.get("listings", {})),
                "strategy": plan.get("strategy", ""),
                "models": [model["version"] for model in plan.get("models", [])],
                "paper": meta.get("paper", True),
                "plan_hash": meta.get("plan_hash", ""),
                "bytes": sum(path.stat().st_size for path in folder.iterdir()),
            }
        )
    if as_json:
        print(msgspec.json.encode(rows).decode())
        return OK
    if not rows:
        out.print(f"no session in {data_dir / 'sessions'}: scalp live makes one")
    for row in rows:
        when = f"{datetime.fromtimestamp(row['started'] / 1e9, UTC):%Y-%m-%d %H:%M:%S}"
        what = f"{', '.join(row['symbols'])}, {row['strategy']}, {'paper' if row['paper'] else 'LIVE'}"
        out.print(f"[bold]{escape(row['session'])}[/bold]  {when}  {escape(what)}, {row['bytes'] / 1e6:,.1f} MB", soft_wrap=True)
    return OK


def found(data_dir: Path, session: str) -> Path:
    """The folder of a session. Raises `UsageError`."""
    if session == LATEST:
        kept = folders(data_dir)
        if not kept:
            raise UsageError(f"no session in {data_dir / 'sessions'}: scalp live makes one")
        return kept[0]
    for folder in (data_dir / "sessions" / session, Path(session)):
        if (folder / "meta.json").exists():
            return folder
    raise UsageError(f"no session {session} in {data_dir / 'sessions'}: scalp replay --list names them")


def again(config: "Settings", session: str, predict: bool, as_json: bool) -> int:
    """Replay one; returns the exit code: 1 where anything differs. Raises `UsageError`, `OSError`."""
    from core import machine
    from kernels import strategies
    from serving import journal
    from serving.replay import plan_of, replay

    folder = found(config.data_dir, session)
    try:
        plan, meta = plan_of(folder), journal.meta_of(folder)
        notes = []
        if plan.strategy_hash and strategies.code_hash(plan.strategy) != plan.strategy_hash:
            notes.append(f"the strategy {plan.strategy} is not the one that the session ran: differences are to be expected")
        if (code := meta.get("code", "")) and code != machine.code_version():
            notes.append(f"the session was run by {code}, this is {machine.code_version()}")
        ask = asking(config.data_dir, plan, notes) if predict else None
        began = time.perf_counter()
        with err.status(f"{folder.name}: compiling the engine") as status:

            def told(n: int) -> None:
                status.update(f"{folder.name}: {n:,} inputs, {n / (time.perf_counter() - began):,.0f}/s")

            made = replay(folder, ask=ask, progress=told)
    except LookupError as error:
        raise UsageError(str(error).strip("'\"")) from error
    except (ValueError, msgspec.MsgspecError) as error:
        err.print(f"[red]failed:[/red] {escape(str(error))}", soft_wrap=True)
        return FAILED
    if as_json:
        rate = made.n_inputs / made.seconds if made.seconds else 0.0
        more = {"equal": made.equal, "inputs_per_s": rate, "notes": notes}
        print(msgspec.json.encode(msgspec.to_builtins(made, enc_hook=str) | more).decode())
    else:
        show(made, notes)
    return OK if made.equal else FAILED


def asking(data_dir: Path, plan: "Plan", notes: list[str]) -> "Callable[[Ask], Answers | None]":
    """Asks the models of a session in this process. Those that are not kept any more are named in `notes`."""
    import numpy as np

    from core.form import FormError
    from core.inference import Answers, in_process
    from core.serving_record import read_record, record_path

    record = read_record(record_path(data_dir))
    numbers = {version.version_id: version.n for version in record.versions.values()} if record is not None else {}
    served: dict[str, Callable[[Any], Answers]] = {}
    for model in plan.models:
        folder = data_dir / "triton" / "models" / (record.model_name if record is not None else "") / str(numbers.get(model.version, ""))
        try:
            if model.version not in numbers:
                raise FormError("it is in no serving record")
            served[model.version] = in_process(folder)
        except (FormError, OSError) as error:
            notes.append(f"model {model.version} cannot be asked again: {error}")
    if not plan.models:
        notes.append("the session asked no model")

    def ask(asked: "Ask") -> "Answers | None":
        answers = served.get(asked.version)
        return None if answers is None else answers(np.asarray(asked.window, np.float32)[None])

    return ask


def show(made: "Replayed", notes: list[str]) -> None:
    rate = made.n_inputs / made.seconds if made.seconds else 0.0
    out.print(f"[bold]{escape(made.session)}[/bold]  {counted(made.n_inputs, 'input')} of {_span(made.lived_s)} in {made.seconds:.1f} s")
    times = made.lived_s / made.seconds if made.seconds else 0.0
    out.print(f"  speed         {rate:,.0f} inputs/s, {times:,.0f} times life")
    out.print(f"  decisions     {made.n_decisions:,}: {made.n_signals:,} signals, {made.n_orders:,} orders, {made.n_refused:,} refusals")
    if made.n_unwritten:
        out.print(f"  unwritten     {made.n_unwritten:,} about the last input: the session ended before it could write them down")
    if made.afresh is not None:
        fresh = made.afresh
        missing = f"; {fresh.missing:,} were never answered" if fresh.missing else ""
        out.print(f"  predictions   {fresh.n:,} asked again: largest difference {fresh.largest:.2e}, {fresh.flipped:,} flipped{missing}")
    for note in notes:
        out.print(f"  [yellow]![/yellow] {escape(note)}", soft_wrap=True)
    if made.equal:
        out.print("  differences   [green]0[/green]")
        return
    out.print(f"  differences   [red]{made.n_different:,}[/red]" + (f", the first {len(made.different)}:" if made.n_different > 1 else ":"))
    for one in made.different:
        out.print(f"    input {one.seq:,}\n      then {escape(_text(one.was))}\n      now  {escape(_text(one.now))}", soft_wrap=True)


def _text(decision: "Decision | None") -> str:
    return "nothing" if decision is None else msgspec.json.encode(decision).decode()


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
