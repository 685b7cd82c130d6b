"""A chunk of a backfill, made partition by partition: what cannot be made is told as a value, and the rest goes on.

    Chunk -> the builders of the stages -> Outcome, one a partition; also kept, as they happen, in <run folder>/backfill.jsonl

A storage that hiccups is asked again; what cannot succeed (a damaged file, a full disk, a wrong parameter) fails at once.
"""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from core.backfills import FILE, Chunk, Kind, Outcome, Partition, Step
from core.causes import cause_of, chain, of_full_disk
from core.market import GENERATED
from core.settings import Bars, Fees, Generator, Labels, Quality, Settings, Train
from core.store import Part, Store
from kernels.backfill import held_by
from tasks.clean import hiccup, make_day
from tasks.feature_days import reason
from tasks.features import BARS, INPUTS, LABELS, facts_of, make_bars, make_inputs, make_labels
from tasks.generated import make_next
from tasks.recordings import take_recording
from tasks.span import INSTRUMENTS
from tasks.trade_features import lacking, make_trade_inputs
from tasks.train import train_version

AGAIN_S = (1.0, 3.0)  # before a second and a third try

log = logging.getLogger("scalp")


class Rules(Struct, frozen=True, kw_only=True):
    """Every setting by which partitions are made; plain values, for whichever process makes them."""

    data_dir: Path
    quality: Quality
    keep_levels: int
    fees: Fees
    bars: Bars
    labels: Labels
    generator: Generator
    train: Train
    wandb_api_key: SecretStr = SecretStr("")


def rules_of(config: Settings, *, secrets: bool = False) -> Rules:
    """`secrets` only for what is made in this process."""
    return Rules(
        data_dir=config.data_dir.absolute(),
        quality=config.quality,
        keep_levels=config.ingest.keep_levels,
        fees=config.fees,
        bars=config.bars,
        labels=config.labels,
        generator=config.generator,
        train=config.train,
        wandb_api_key=config.wandb_api_key if secrets else SecretStr(""),
    )


@task(task_run_name="{chunk}", cache_policy=NO_CACHE)
def make_chunk(store: Store, chunk: Chunk, *, rules: Rules, failed: Sequence[Partition] = ()) -> list[Outcome]:
    """Make the chunk's partitions that are not fresh, in order; `failed` are those of earlier chunks that were not made.

    Run again after a worker was killed it begins with the first that is not fresh: nothing is made twice.
    """
    lost, outcomes = set(failed), list[Outcome]()
    for step in chunk.steps:
        made = one(store, step, rules=rules, lost=lost, full=any(outcome.full for outcome in outcomes))
        if made.error or made.held:
            lost.add(step.partition)
        keep(store.run_folder, made)
        outcomes.append(made)
    return outcomes


def one(store: Store, step: Step, *, rules: Rules, lost: set[Partition], full: bool) -> Outcome:
    """Make a partition, unless what it needs is lost; an error becomes its cause in one line."""
    partition, began = step.partition, time.monotonic()
    if full:
        return Outcome(partition=partition, held="the disk is full")
    if needed := held_by(step, lost):
        return Outcome(partition=partition, held=f"{needed} was not made")
    try:
        made = insisting(lambda: make(store, step, rules))
    except Exception as error:  # the one place that turns it into a value: the backfill goes on, and ends with the list of them
        cause, is_full = cause_of(error).line, any(of_full_disk(of) for of in chain(error))
        log.warning("%s failed: %s", partition, cause)
        with contextlib.suppress(OSError):
            if store.run_folder:
                with (store.run_folder / "tracebacks.txt").open("a") as file:
                    file.write(f"{partition}\n{''.join(traceback.format_exception(error))}\n")
        return Outcome(partition=partition, seconds=round(time.monotonic() - began, 3), error=cause, full=is_full)
    return Outcome(partition=partition, seconds=round(time.monotonic() - began, 3), **made._asdict())


def held(chunk: Chunk, why: str) -> list[Outcome]:
    """The outcomes of a chunk that was not tried."""
    return [Outcome(partition=step.partition, held=why) for step in chunk.steps]


def crashed(folder: Path | None, chunk: Chunk, error: BaseException) -> list[Outcome]:
    """The outcomes of a chunk whose task died: what it had kept by then, and the cause for the first that it had not, which ended it."""
    cause, done = cause_of(error).line, {outcome.partition: outcome for outcome in kept(folder)} if folder else {}
    rest = [step.partition for step in chunk.steps if step.partition not in done]
    lost = [Outcome(partition=p, error=cause) if p == rest[0] else Outcome(partition=p, held=f"{rest[0]} ended its task") for p in rest]
    return [outcome for step in chunk.steps if (outcome := done.get(step.partition))] + lost


class Made(NamedTuple):
    """What a builder made; not `changed`: it was fresh after all, or there was nothing to make it of."""

    changed: bool = False
    rows: int = 0
    warnings: tuple[str, ...] = ()
    model: str = ""


def insisting(make: Callable[[], Made]) -> Made:
    """What it makes, after a second and a third try where storage was away."""
    for wait in AGAIN_S:
        try:
            return make()
        except OSError as error:
            if not hiccup(error):
                raise
            log.warning("%s: once more in %g s", error, wait)
            time.sleep(wait)
    return make()


def make(store: Store, step: Step, rules: Rules) -> Made:
    """Make a partition by the builder of its stage."""
    of, at = step.partition, (step.partition.venue, step.partition.symbol, step.partition.day)
    name = f"{of.venue}/{of.symbol} {of.day}"
    if of.kind is Kind.RAW:
        path = make_next(rules.generator, of.symbol, of.day, rules.data_dir / "generated")
        read = take_recording(store, str(path), quality=rules.quality, venue=GENERATED, generated=True)
        if read["error"]:
            raise ValueError(read["error"])
        return Made(not read["skipped"], read["n_rows"])
    if of.kind is Kind.CLEAN:
        fees = rules.fees.by_venue.get(of.venue, rules.fees.default)
        facts = make_day(store, *at, quality=rules.quality, keep_levels=rules.keep_levels, fees=fees)
        return Made(facts["changed"], facts["trades"] + facts["quotes"] + facts["book"], tuple(facts["warnings"]))
    if of.kind is Kind.MODEL:
        parts = [part for p in step.of if store.exists(part := Part(INPUTS, p.venue, p.symbol, p.day))]
        stage = train_version(store, parts, train=rules.train, data_dir=rules.data_dir, wandb_api_key=rules.wandb_api_key)
        return Made(stage.changed, stage.facts["n_windows"], tuple(stage.warnings), stage.facts["version_id"])
    if not store.exists(Part(INSTRUMENTS, *at)):
        return Made(warnings=(f"{name}: its clean day has no row",))
    if of.kind is Kind.TRADES:
        facts = make_trade_inputs(store, *at, quality=rules.quality)
        return Made(facts["changed"], facts["rows"], (f"{name}: {said}",) if (said := lacking(facts)) else ())
    built = [
        make_bars(store, *at, rules=rules.bars),
        make_inputs(store, *at, rules=rules.bars, quality=rules.quality),
        make_labels(store, *at, rules=rules.labels, quality=rules.quality),
    ]
    facts = facts_of(store, *at, built=built)
    rows = rows_of(store, [Part(table, *at) for table in (BARS, INPUTS, LABELS)])
    return Made(facts["changed"], rows, () if facts["complete_rows"] else (f"{name}: {reason(facts)}",))


def rows_of(store: Store, parts: Iterable[Part]) -> int:
    return sum(lineage.rows for part in parts if (lineage := store.lineage(part)))


def keep(folder: Path | None, outcome: Outcome) -> None:
    """Tell the flow, whatever process it is in, and whoever looks at the run later. A full disk must not undo what was made."""
    if folder is None:
        return
    line = msgspec.json.encode(outcome) + b"\n"
    with contextlib.suppress(OSError), (folder / FILE).open("ab", buffering=0) as file:
        file.write(line)  # one call: lines of several processes do not mix


def complete(folder: Path, outcomes: Iterable[Outcome]) -> None:
    """Keep those that nobody kept: of a chunk that was not tried, or whose worker does not see this folder."""
    known = {outcome.partition for outcome in kept(folder)}
    for outcome in outcomes:
        if outcome.partition not in known:
            keep(folder, outcome)


def kept(folder: Path) -> list[Outcome]:
    """The outcomes of a run so far; a line that a killed process left half is passed over."""
    found: list[Outcome] = []
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / FILE).read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=Outcome))
    return found


def n_done(folder: Path) -> int:
    """How many partitions are done with; one that was tried again after its worker died counts once."""
    return len({outcome.partition for outcome in kept(folder)})
