"""The knobs of running the whole: what `scalp up` starts, where batch work runs, backfills, alerts, retention. Part of `core.settings`."""

from typing import Literal

from pydantic import Field, HttpUrl, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from core.mappings import Section

Compute = Literal["threads", "dask"]


class Up(Section):
    """What `scalp up` starts and how it looks after it."""

    port: int = 4200  # of Prefect's UI; 0: a free one
    parts: tuple[str, ...] = ()  # empty: all
    start_timeout_s: PositiveFloat = 180.0  # until a part has to be healthy
    restarts: NonNegativeInt = 5  # of one part within `restart_window_s`; then it is left down and said
    restart_window_s: PositiveFloat = 600.0
    unhealthy_s: PositiveFloat = 120.0  # a part that does not answer as it should for so long is started again
    worker_limit: PositiveInt = 2  # flow runs at a time
    wait_s: NonNegativeFloat = 7_200.0  # a flow's run waits so long for the one before it in the data folder


class Dask(Section):
    address: str = ""  # of a scheduler; empty: a local cluster for the length of a run
    workers: PositiveInt = 2  # of the local cluster, one thread each


class Backfill(Section):
    parallel: PositiveInt = 2  # chunks at a time
    chunk_days: PositiveInt = 10  # at most so many days of one symbol in a task


class Alerts(Section):
    """Who is told of failed, crashed and late runs, of quality breaches and benchmark regressions."""

    webhook_url: HttpUrl | None = None  # gets one JSON object by POST
    webhook_timeout_s: PositiveFloat = 5.0
    repeat_s: NonNegativeFloat = 3_600.0  # the same alert again at the earliest after so long
    late_s: PositiveFloat = 120.0  # a run that should have begun so long ago is late
    zombie_s: PositiveFloat = Field(default=90.0, ge=60)  # a run without a heartbeat for so long has crashed
    quarantine_share: float = Field(default=0.01, ge=0, le=1)  # of a file's rows; more is a breach of quality
    different_share: float = Field(default=0.0, ge=0, le=1)  # of the book's comparisons with the venue's own figures
    sequence_breaks: NonNegativeInt = 0  # lost book messages of a day
    book_known_share: float = Field(default=0.9, ge=0, le=1)  # of a day's book rows; less is a breach
    runbook: str = "docs/runbook.md"  # a path or URL; alerts link into it


class Retention(Section):
    """What `maintain` deletes. 0 keeps for ever."""

    runs_days: NonNegativeInt = 90  # flow runs, their logs, artifacts and events in Prefect's database, and folders under runs/
    model_versions: NonNegativeInt = 10  # newest ones kept; what serves or has an alias is always kept
    raw_days: NonNegativeInt = 0
    clean_days: NonNegativeInt = 0
    feature_days: NonNegativeInt = 0
    quarantine_days: NonNegativeInt = 90
    sessions_days: NonNegativeInt = 0  # journals and recorded frames of live sessions: nobody else may have them
    logs_days: NonNegativeInt = 30
