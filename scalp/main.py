"""`scalp`: every verb, what it takes, and what its exit code means (0 done, 1 failed, 2 wrong usage, 3 refused).

Heavy libraries are imported inside the verbs, so that `scalp --help` answers at once.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scalp import backfill, doctor, killing, live, looking, replaying, runs, simulating, status, strategy, up, venue, why

app = typer.Typer(
    name="scalp",
    help="Market data in, a trained and served model out. Everything is kept under SCALP_DATA_DIR (default: data/).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)

Source = Annotated[
    str,
    typer.Option(
        "--source",
        help="generated, recordings, archives or tables. Default: what --from holds, else what scalp.toml says.",
        show_default=False,
    ),
]
Folder = Annotated[Path | None, typer.Option("--from", help="The folder that recordings, archives or tables lie in.", show_default=False)]
Mapping = Annotated[
    str, typer.Option("--mapping", help="For tables: the mapping that names their columns (standx, crypto-microstructure, or yours).")
]
Venue = Annotated[
    str,
    typer.Option("--venue", help="For archives: binance-spot, binance-usdm or binance-cm, where neither folders nor columns tell it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class Grain(StrEnum):
    """What a row of features stands for."""

    SECOND = "second"
    TRADE = "trade"
    BOTH = "both"


def version(value: bool) -> None:
    if value:
        from core.machine import code_version

        typer.echo(f"scalp {code_version()}")
        raise typer.Exit()


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    pass


@app.command(epilog="Example: scalp run --source recordings --from ../shared/data/hftbacktest/usdm")
def run(source: Source = "", folder: Folder = None, mapping: Mapping = "", venue: Venue = "", json: Json = False) -> None:
    """The main job: ingest, features, train, deploy, benchmark, and a report."""
    from scalp import running

    raise typer.Exit(running.run(source, folder, mapping, venue, as_json=json))


@app.command(
    epilog="Examples: scalp ingest --source tables --mapping standx --from ../shared/data/standx;  scalp ingest --from data/futures/um"
)
def ingest(source: Source = "", folder: Folder = None, mapping: Mapping = "", venue: Venue = "", json: Json = False) -> None:
    """Market data into the lake: raw parts, then clean days, checked and accounted for."""
    from scalp import running

    raise typer.Exit(running.stage("ingest", source, folder, mapping, venue=venue, as_json=json))


@app.command(epilog="Examples: scalp features --list;  scalp features --grain trade --venue binance-usdm --symbol BTCUSDT")
def features(
    listing: Annotated[
        bool, typer.Option("--list", help="Print every feature with unit, inputs, parameters and warm-up, and stop.")
    ] = False,
    grain: Annotated[Grain, typer.Option(help="A row for every second (with bars and labels), for every trade, or both.")] = Grain.SECOND,
    venue: Annotated[str, typer.Option(help="Only this venue.")] = "*",
    symbol: Annotated[str, typer.Option(help="Only this symbol.")] = "*",
    json: Json = False,
) -> None:
    """Clean days into bars, features and labels, or into features of every trade; with --list, what the features are."""
    if listing:
        raise typer.Exit(looking.feature_list(json=json, grain=grain.value))
    from scalp import running

    raise typer.Exit(running.stage("features", venue=venue, symbol=symbol, grain=grain.value, as_json=json))


@app.command(epilog="Example: scalp train --symbol BTCUSDT")
def train(
    venue: Annotated[str, typer.Option(help="Only this venue.")] = "*",
    symbol: Annotated[str, typer.Option(help="Only this symbol.")] = "*",
    json: Json = False,
) -> None:
    """A model from the features in the lake, scored beside the baselines, gross and after cost."""
    from scalp import running

    raise typer.Exit(running.stage("train", venue=venue, symbol=symbol, as_json=json))


@app.command(epilog="Examples: scalp deploy;  scalp deploy 3f2a9c01b7de")
def deploy(
    version_id: Annotated[
        str, typer.Argument(help="Which trained model (a folder under models/). Default: the newest.", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """Prove a trained model against the real Triton server, switch to it, retire the old one."""
    from scalp import running

    raise typer.Exit(running.stage("deploy", version_id=version_id, as_json=json))


@app.command(epilog="Example: scalp rollback")
def rollback(json: Json = False) -> None:
    """Serve the version before the one that is served now."""
    from scalp import running

    raise typer.Exit(running.rollback(as_json=json))


@app.command(epilog="Examples: scalp bench;  scalp bench --peers --json;  scalp bench features fills")
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Benchmarks to take beside the peers; all with --peers.", show_default=False)
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Beside the peers, on the same input (some 15 minutes; make bench installs them).")
    ] = False,
    json: Json = False,
) -> None:
    """Measure speeds on this machine, keep them in out_bench__runs, and flag regressions."""
    from scalp import benching

    raise typer.Exit(benching.bench(names or [], peers=peers, as_json=json))


@app.command(epilog="Examples: scalp maintain;  scalp maintain --yes")
def maintain(
    yes: Annotated[bool, typer.Option("--yes", help="Take it away. Without: only print what would go, how many bytes, and why.")] = False,
    even_needed: Annotated[
        bool, typer.Option("--even-needed", help="Also what a kept model was made of: it can then not be made again.")
    ] = False,
    json: Json = False,
) -> None:
    """What is older than the settings under `retention` keep (runs, models, parts, sessions, logs): shown, and with --yes taken away."""
    from scalp import maintaining

    raise typer.Exit(maintaining.maintain(dry_run=not yes, even_needed=even_needed, as_json=json))


app.command(
    "backfill",
    epilog="Examples: scalp backfill features --from 2026-01-05 --to 2026-01-07 --dry-run;  "
    "scalp backfill train --venue binance-usdm --symbol BTCUSDT --from 2026-01-01 --to 2026-01-31",
)(backfill.backfill)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("sql")(looking.sql)
app.command("coverage")(looking.coverage)
app.command("venue")(venue.venue)
app.add_typer(strategy.app, name="strategy")
app.command("sim", epilog="Examples: scalp sim --count 1000;  scalp sim --seed 35")(simulating.sim)
app.command("live")(live.live)
app.command("record")(live.record)
app.command("kill")(killing.kill)
app.command("rearm")(killing.rearm)
app.command("replay")(replaying.replay)
app.command("why")(why.why)
app.add_typer(runs.app, name="runs")
