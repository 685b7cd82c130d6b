"""The batch verbs: each runs one flow, or all five, and ends with what a person wants to know."""

import contextlib
import json
import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.markup import escape

from core import runs, settings
from core.asking import ANY, Grain
from core.holding import holding
from core.store import Store
from scalp import summary
from scalp.console import err, out, progress, seconds
from scalp.failures import FAILED, OK, REFUSED, cause, guarded
from scalp.session import Session, session
from scalp.sources import resolve, typed
from tasks.asked import model_asked, parts_asked

log = logging.getLogger("scalp")


def run(source: str, folder: Path | None, mapping: str, venue: str = "", *, as_json: bool = False) -> int:
    """All five stages and the report."""

    def verb() -> int:
        asked = resolve(source, folder, mapping, venue)
        began = time.perf_counter()

        async def flows(_: Session) -> Any:
            from flows.nightly import nightly

            return await nightly(*asked, venue)

        now, failure = attempt("scalp run", flows, as_json=as_json)
        stages = runs.load(now.run_folder)
        report = now.run_folder / "report.html"
        if as_json:
            print(
                json.dumps(
                    {"run_id": now.run_id, "failed": failure, "report": str(report), "stages": msgspec.to_builtins(stages)}, default=str
                )
            )
        else:
            summary.show(stages, failure, report if report.exists() else None, seconds(began))
        return FAILED if failure else OK

    return guarded(verb)


def attempt(what: str, flow: Callable[[Session], Any], *, as_json: bool) -> tuple[Session, str | None]:
    """Run a flow inside a session; its failure comes back as one line, its traceback goes to a file in the run's folder."""
    config = settings.load()
    interrupt_on_terminate()
    with progress(config.data_dir / "logs" / "scalp.log", err if as_json else out), session(what) as now:
        try:
            now.flow(lambda: flow(now))
        except Exception as error:  # the one place that turns it into a line; the traceback goes to a file beside the report
            with contextlib.suppress(OSError):  # on a full disk the line has to do
                (now.run_folder / "failure.txt").write_text("".join(traceback.format_exception(error)))
            return now, cause(error)
        return now, None


def interrupt_on_terminate() -> None:
    """SIGTERM ends a run as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def stage(
    name: str,
    source: str = "",
    folder: Path | None = None,
    mapping: str = "",
    *,
    venue: str = "*",
    symbol: str = "*",
    grain: str = "second",
    version_id: str = "",
    as_json: bool = False,
) -> int:
    """One stage by hand, over what the lake holds."""

    def verb() -> int:
        config = settings.load()
        store = Store(config.lake)
        began = time.perf_counter()
        asked = {"source": source, "folder": folder, "mapping": mapping, "venue": venue, "symbol": symbol}
        flow = wired(name, config, store, **asked, grain=grain, version_id=version_id)
        now, failure = attempt(f"scalp {name}", flow, as_json=as_json)
        stages = runs.load(now.run_folder)
        if as_json:
            print(json.dumps({"run_id": now.run_id, "failed": failure, "stages": msgspec.to_builtins(stages)}, default=str))
        else:
            summary.show(stages, failure, None, seconds(began))
        return FAILED if failure else OK

    return guarded(verb)


def wired(
    name: str,
    config: settings.Settings,
    store: Store,
    *,
    source: str,
    folder: Path | None,
    mapping: str,
    venue: str,
    symbol: str,
    grain: str,
    version_id: str,
) -> Callable[[Session], Any]:
    """The stage's flow, given what the verb was asked; checked before anything is started."""
    symbols = () if symbol == ANY else (symbol,)
    if name == "ingest":
        of = "" if venue == ANY else venue
        asked = resolve(source, folder, mapping, of)

        async def ingest(_: Session) -> Any:
            from flows.ingest import ingest as flow

            return await flow(*asked, of)

        return ingest
    if name == "features":
        with typed():
            parts_asked(store, "clean_market__trades", hint="scalp ingest makes it", venue=venue, symbols=symbols)

        async def features(_: Session) -> Any:
            from flows.features import features as flow

            return await flow(venue, symbols, grain=Grain(grain))

        return features
    if name == "train":
        with typed():
            parts_asked(store, "feat_market__1s_inputs", hint="scalp features makes it", venue=venue, symbols=symbols)

        async def train(_: Session) -> Any:
            from flows.train import train as flow

            return await flow(venue, symbols)

        return train
    with typed():
        model_asked(config.data_dir, version_id)

    async def deploy(_: Session) -> Any:
        from flows.deploy import deploy as flow

        return await flow(version_id)

    return deploy


def version_text(n: int | None, versions: dict[str, Any]) -> str:
    """A served version with the model behind it."""
    if n is None:
        return "none"
    of = versions.get(str(n), {}).get("version_id")
    return f"version {n}" + (f" (model {of})" if of else "")


def rollback(*, as_json: bool = False) -> int:
    """The served model, one version back."""

    def verb() -> int:
        from core.repository import RepositoryError
        from tasks.deploy import rollback as go_back

        config = settings.load()
        try:
            with holding(config.data_dir, "scalp rollback"):
                told = go_back(config.data_dir, deploy=config.deploy, tracking_uri=config.train.tracking_uri)
        except RepositoryError as error:
            err.print(f"[red]refused:[/red] {escape(str(error))}", soft_wrap=True)
            return REFUSED
        if as_json:
            print(json.dumps(told))
            return OK
        for alias in sorted({*told["from"], *told["to"]}):
            before, after = (version_text(told[way].get(alias), told["versions"]) for way in ("from", "to"))
            out.print(f"{alias}: {before} -> {after}", soft_wrap=True)
        for warning in told["warnings"]:
            out.print(f"[yellow]![/yellow] {escape(warning)}", soft_wrap=True)
        return OK

    return guarded(verb)
