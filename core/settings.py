"""Every knob, in one frozen tree, read once: defaults, then `scalp.toml`, then `SCALP_…` variables.

Only entry points (flows, apps, the command line) call `load`; everything below them is handed plain values. An unknown
key or a wrong value is an error that names it. Nested keys are written `SCALP_TRAIN__SEED=7`; lists take commas or JSON.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, PositiveFloat, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from core import form, live_settings, ops_settings
from core.mappings import MAPPINGS, Section, TableMapping

PREFIX = "SCALP_"
CONFIG_FILE = "scalp.toml"
SECRET = re.compile(r"key|secret|password|token|webhook")
NOT_SETTINGS = {"SCALP_CONFIG"}  # which file to read: needed before the tree exists


class SettingsError(ValueError):
    """A key nobody knows, or a value that does not fit; the message names it."""


class Quality(Section):
    """What is refused at the door. Each refused row is kept in quarantine with its reason."""

    max_jump_pct: PositiveFloat = 20.0  # of the last accepted price
    max_price: PositiveFloat = 1e9  # quote currency
    max_size: PositiveFloat = 1e9  # base units (or contracts)
    max_clock_skew_s: PositiveFloat = 86_400.0  # |ts_event - ts_recv| beyond this is absurd
    off_grid_share: float = Field(default=0.001, ge=0, lt=0.5)  # values finer than all but this share are off the grid
    unknown_fields: Literal["quarantine", "keep"] = "quarantine"
    gap_s: PositiveFloat = 10.0  # no event of any kind for longer: the feed was away
    out_of_order_s: PositiveFloat = 5.0  # a row older than its predecessors by more is refused


class Ingest(Section):
    source: Literal["generated", "recordings", "archives", "tables"] = "generated"
    mapping: str = "standx"
    workers: PositiveInt = 2
    keep_levels: PositiveInt = 20


class Generator(Section):
    """The built-in market. `signal` is the share of the next seconds' drift that the book's imbalance foretells."""

    symbols: tuple[str, ...] = ("SIMUSDT",)
    day: str = "2026-01-05"
    days: PositiveInt = 1
    seed: int = 7
    frames_per_s: PositiveFloat = 10.0
    price: PositiveFloat = 60_000.0
    tick_size: PositiveFloat = 0.1
    lot_size: PositiveFloat = 0.001
    volatility: PositiveFloat = 0.8  # annual
    signal: float = Field(default=0.35, ge=0, le=1)


class Bars(Section):
    lateness_ms: int = Field(default=250, ge=0)  # a bar closes at the first event this much younger than its end; later trades are late


class Labels(Section):
    """Triple barrier on the executable path, net of fees."""

    horizon_s: PositiveFloat = 60.0
    order_latency_ms: PositiveFloat = 50.0
    take_profit_bps: PositiveFloat = 8.0  # net of fees
    stop_loss_bps: PositiveFloat = 8.0  # beyond what an immediate round trip costs (spread and fees)


FEES: dict[str, tuple[float, float]] = {
    "binance-usdm": (2.0, 5.0),
    "binance-cm": (2.0, 5.0),
    "binance-spot": (10.0, 10.0),
    "standx": (1.0, 4.0),
    "generated": (0.0, 0.5),
}


class Fees(Section):
    """Basis points of notional by venue: (maker, taker). The table of instruments is filled from here."""

    by_venue: dict[str, tuple[float, float]] = FEES
    default: tuple[float, float] = (10.0, 10.0)

    @field_validator("by_venue", mode="before")
    @classmethod
    def _beside_the_built_in(cls, value: Any) -> Any:
        return FEES | value if isinstance(value, dict) else value


class Train(Section):
    window: PositiveInt = 60  # seconds of features per example
    max_windows: PositiveInt = 12_000  # training examples; a bounded, strided sample
    batch_size: PositiveInt = 128
    max_epochs: PositiveInt = 12
    learning_rate: PositiveFloat = 5e-4
    weight_decay: float = Field(default=1e-2, ge=0)
    gradient_clip: PositiveFloat = 1.0
    dropout: float = Field(default=0.3, ge=0, lt=1)  # neighbouring windows say much the same: it overfits within epochs
    conv_channels: PositiveInt = 32
    lstm_hidden: PositiveInt = 32
    lstm_layers: PositiveInt = 1
    heads: PositiveInt = 4
    patience: PositiveInt = 10
    keep_best: PositiveInt = 3
    huber_share: float = Field(default=0.3, ge=0, le=1)  # volatility loss = (1 - share) MSE + share Huber
    volatility_weight: float = Field(default=0.3, ge=0)
    confidence_weight: float = Field(default=0.3, ge=0)
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    calibration_share: float = Field(default=0.1, gt=0, lt=0.5)
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    seed: int = 7
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    threads: PositiveInt = 1  # a second one gains a fifth on a quiet machine and costs fourfold on a busy one
    logger: Literal["mlflow", "wandb", "none"] = "mlflow"
    tracking_uri: str = ""  # empty: SQLite under the data folder
    bootstrap: PositiveInt = 1000
    min_effective_samples: PositiveInt = 100  # below: too little data to judge
    min_train_windows: PositiveInt = 32


class Deploy(Section):
    model_name: str = Field(default="scalper", pattern=r"[A-Za-z][A-Za-z0-9_-]*")
    max_error: PositiveFloat = 1e-5
    backend: Literal["auto", "python", "onnxruntime"] = "auto"
    max_batch: PositiveInt = 64
    queue_delay_us: int = Field(default=100, ge=0)  # where it is not tuned
    forms: tuple[form.Name, ...] = tuple(form.FORMS)  # of those that pass here, the fastest serves; onnxruntime-f32 where none does
    max_flips: float = Field(default=0.01, ge=0, le=1)  # share of decisions that int8 or bf16 may change
    max_loss_bps: float = Field(default=0.05, ge=0)  # what they may cost after cost, a trade of the float32 model
    tune: bool = True  # measure how Triton should batch; some 20 s for a new shape of model, kept for the next
    max_latency_ms: PositiveFloat = 50.0  # p99 of a batch-1 request while proving; above: the old version stays
    keep_versions: PositiveInt = 3


class Triton(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    grpc_port: int = 0  # 0: a free one
    http_port: int = 0
    metrics_port: int = 0
    start_timeout_s: PositiveFloat = 60.0


class Prefect(Section):
    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    start_timeout_s: PositiveFloat = 120.0
    database_url: SecretStr = SecretStr("")  # empty: SQLite under the data folder; else postgresql+asyncpg://user:password@host/database


class Bench(Section):
    peers: bool = False  # the nightly run measures beside the peers too (some 15 minutes); `scalp bench --peers` always does
    requests: PositiveInt = 300
    regression_pct: PositiveFloat = 25.0
    history: PositiveInt = 10


class Settings(BaseSettings):
    """Override with, say, `SCALP_TRAIN__SEED=3`, or `[train] seed = 3` in `scalp.toml`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid")

    data_dir: Path = Path("data")
    lake_url: str = ""  # empty: `<data_dir>/lake`; else a folder or an fsspec URL
    live: bool = False  # paper trading until someone says otherwise
    wandb_api_key: SecretStr = SecretStr("")
    ingest: Ingest = Ingest()
    quality: Quality = Quality()
    generator: Generator = Generator()
    mappings: dict[str, TableMapping] = MAPPINGS
    bars: Bars = Bars()
    labels: Labels = Labels()
    fees: Fees = Fees()
    train: Train = Train()
    deploy: Deploy = Deploy()
    triton: Triton = Triton()
    prefect: Prefect = Prefect()
    bench: Bench = Bench()
    limits: live_settings.Limits = live_settings.Limits()
    strategy: live_settings.Strategy = live_settings.Strategy()
    execution: live_settings.Execution = live_settings.Execution()
    rule: live_settings.Rule = live_settings.Rule()
    model: live_settings.Model = live_settings.Model()
    exchange: live_settings.Exchange = live_settings.Exchange()
    venue: live_settings.Venue = live_settings.Venue()
    paper: live_settings.Paper = live_settings.Paper()
    ledger: live_settings.Ledger = live_settings.Ledger()
    stream: live_settings.Stream = live_settings.Stream()
    compute: ops_settings.Compute = "threads"  # dask: batch tasks run on a Dask cluster
    dask: ops_settings.Dask = ops_settings.Dask()
    up: ops_settings.Up = ops_settings.Up()
    backfill: ops_settings.Backfill = ops_settings.Backfill()
    alerts: ops_settings.Alerts = ops_settings.Alerts()
    retention: ops_settings.Retention = ops_settings.Retention()

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("mappings", mode="before")
    @classmethod
    def _beside_the_built_in(cls, value: Any) -> Any:
        return MAPPINGS | value if isinstance(value, dict) else value

    @property
    def lake(self) -> str:
        return self.lake_url or str(self.data_dir / "lake")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("SCALP_CONFIG", CONFIG_FILE))
        return init_settings, Environment(settings_cls), TomlConfigSettingsSource(settings_cls, toml_file=file)


class Environment(EnvSettingsSource):
    """Environment variables; a list may be written with commas."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        try:
            return json.loads(value)
        except ValueError:
            return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def known(model: type[BaseModel], prefix: str = PREFIX) -> dict[str, Any]:
    """All variable names of a settings tree, with the type each takes; a dict field ends in `__`."""
    names: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        key = f"{prefix}{name.upper()}"
        names[key] = field.annotation
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= known(field.annotation, key + "__")
        elif get_args(field.annotation) and getattr(field.annotation, "__origin__", None) is dict:
            names[key + "__"] = field.annotation
    return names


def unknown(environ: Mapping[str, str]) -> list[str]:
    """`SCALP_…` variables that no field has, each with the nearest name that one has."""
    names = known(Settings)
    open_ended = tuple(n for n in names if n.endswith("__"))
    found = []
    for key in environ:
        name = key.upper()
        if not name.startswith(PREFIX) or name in names or name in NOT_SETTINGS or name.startswith(open_ended):
            continue
        near = difflib.get_close_matches(name, names, n=1)
        found.append(f"{key}" + (f" (did you mean {near[0]}?)" if near else ""))
    return found


def read(**overrides: Any) -> Settings:
    """The tree from file and environment, with `overrides` on top. Raises `SettingsError`."""
    file = os.environ.get("SCALP_CONFIG")
    if file and not Path(file).is_file():
        raise SettingsError(f"SCALP_CONFIG names {file}, which is not a file")
    if strange := unknown(os.environ):
        raise SettingsError("unknown setting: " + ", ".join(strange))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [told(e) for e in error.errors()]
        raise SettingsError("wrong setting: " + "; ".join(lines)) from None
    except ValueError as error:  # a scalp.toml that is not TOML
        raise SettingsError(f"{file or CONFIG_FILE}: {error}") from None


def told(error: Any) -> str:
    """One error of the tree: where it stands, what is wrong, and the nearest name there is."""
    key = ".".join(str(p) for p in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg']} (got {error['input']!r})"
    names = {name.removeprefix(PREFIX).lower().replace("__", ".") for name in known(Settings)}
    near = difflib.get_close_matches(key, names, n=1)
    return f"{key}: there is no such key in {os.environ.get('SCALP_CONFIG', CONFIG_FILE)}" + (f" (did you mean {near[0]}?)" if near else "")


def differing(config: Settings) -> dict[str, Any]:
    """What differs from the defaults, as `section.key` -> value. Secrets, and URLs that may hold one, are only said to be set."""

    def walk(now: dict[str, Any], usual: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for key, value in now.items():
            before = usual.get(key)
            if isinstance(value, dict) and isinstance(before, dict):
                yield from walk(value, before, f"{prefix}{key}.")
            elif value != before:
                hidden = SECRET.search(key) or (isinstance(value, str) and "@" in value and "://" in value)
                yield f"{prefix}{key}", "(set)" if hidden else value

    usual = Settings.model_construct(**{name: of.get_default(call_default_factory=True) for name, of in Settings.model_fields.items()})
    tell = {"exclude": {"data_dir"}, "mode": "json"}  # where it lies changes nothing
    return dict(walk(config.model_dump(**tell), usual.model_dump(**tell)))


@cache
def load() -> Settings:
    return read()
