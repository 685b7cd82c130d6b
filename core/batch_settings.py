"""The knobs of the batch side: quality, the generated market, bars, labels, training, deployment, servers. Part of `core.settings`."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, field_validator

from core import form
from core.mappings import Section


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
