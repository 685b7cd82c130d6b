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

from core import orchestrator, runs, settings
from core.holding import holding
from core.runs import Stage
from core.services import free_ports
from core.store import Part, Store
from scalp import summary
from scalp.console import err, out, progress, seconds
from scalp.failures import FAILED, OK, REFUSED, UsageError, cause, guarded
from scalp.session import Session, prefect_server, session
from scalp.sources import resolve

log = logging.getLogger("scalp")


def run(source: str, folder: Path | None, mapping: str, venue: str = "", *, as_json: bool = False) -> int:
    """All five stages and the report."""

    def verb() -> int:
        asked = resolve(source, folder, mapping, venue)
        began = time.perf_counter()

        async def flows(now: Session) -> Any:
            from flows.nightly import nightly

            return await nightly(*asked, now.run_folder, venue)

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


def stored(store: Store, table: str, venue: str, symbol: str, hint: str) -> list[Part]:
    """Parts of a table that are there, or a usage error with what would make them."""
    found = store.parts(table, venue, symbol)
    if not found:
        there = sorted({f"{p.venue} {p.symbol}" for p in store.parts(table)})
        raise UsageError(f"no {table} for {venue} {symbol}" + (f"; there are {', '.join(there)}" if there else f"; {hint}"))
    return found


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
    if name == "ingest":
        of = "" if venue == "*" else venue
        asked = resolve(source, folder, mapping, of)

        async def ingest(now: Session) -> Any:
            from flows.ingest import ingest as flow

            return await flow(*asked, now.run_folder, of)

        return ingest
    if name == "features":
        parts = stored(store, "clean_market__trades", venue, symbol, "scalp ingest makes them")

        async def features(now: Session) -> Any:
            from flows.features import features as flow

            return await flow(parts, now.run_folder, grain=grain)  # pyright: ignore[reportArgumentType]

        return features
    if name == "train":
        inputs = stored(store, "feat_market__1s_inputs", venue, symbol, "scalp features makes them")

        async def train(now: Session) -> Any:
            from flows.train import train as flow

            return await flow(inputs, now.run_folder)

        return train
    trained = trained_stage(config.data_dir, version_id)

    async def deploy(now: Session) -> Any:
        from flows.deploy import deploy as flow

        return await flow(trained, now.run_folder, again=bool(version_id))

    return deploy


def trained_stage(data_dir: Path, version_id: str) -> Stage:
    """The stage result kept with a trained model; the newest where no version is named."""
    done = sorted((data_dir / "models").glob("*/train.json"), key=lambda p: p.stat().st_mtime)
    if not done:
        raise UsageError("there is no trained model yet; scalp run or scalp train makes one")
    chosen = [p for p in done if p.parent.name == version_id] if version_id else done[-1:]
    if not chosen:
        raise UsageError(f"no model {version_id}; there are {', '.join(p.parent.name for p in done)}")
    facts = json.loads(chosen[0].read_bytes())
    return Stage(name="train", changed=False, facts=facts | {"folder": str(chosen[0].parent)})


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


def served(config: settings.Settings, stack: contextlib.ExitStack) -> str:
    """Start Triton for as long as `stack` is open, if a model was deployed to it; returns what to print."""
    from core import serving_record, triton
    from core.triton_wheel import unavailable

    record = serving_record.read_record(serving_record.record_path(config.data_dir))
    if record is None or record.live is None:
        return "none yet; scalp run deploys one"
    alias, version = record.live
    told = f"version {version.n} (model {version.version_id}) as {alias}"
    if record.served_by != "triton" or not config.triton.enabled:
        return f"{told}, in-process"
    if reason := unavailable(config.deploy.backend):
        return f"{told}, in-process: {reason}"
    server = triton.serve(config.data_dir, **config.triton.model_dump(exclude={"enabled"}))
    stack.callback(server.stop)
    return f"{told}; gRPC {server.grpc_url}, HTTP {server.http_url}"


def up(port: int) -> int:
    """Prefect's UI over the history, and the served model, until Ctrl-C."""

    def verb() -> int:
        config = settings.load()
        interrupt_on_terminate()
        server, environment = prefect_server(config, port or free_ports(1)[0])
        with progress(), server, contextlib.ExitStack() as stack:
            server.wait_ready(config.prefect.start_timeout_s)
            out.print(f"Prefect UI    {environment['PREFECT_API_URL'].removesuffix('/api')}")
            out.print(f"password      the one line of {orchestrator.password_file(config.data_dir)}", soft_wrap=True)
            out.print(f"served model  {escape(served(config, stack))}", soft_wrap=True)
            out.print("Ctrl-C stops everything.")
            while server.alive:
                time.sleep(0.5)
        err.print(f"[red]the server ended by itself[/red]; its log is {server.log}")
        return FAILED

    return guarded(verb)
