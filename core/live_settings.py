"""The knobs of the live worker: limits, strategy, execution, the venue it trades on, ledger, stream. Part of `core.settings`."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from core.mappings import Section

Share = Annotated[float, Field(ge=0, le=1)]


class Limits(Section):
    """What risk refuses beyond. Money is quote currency; each limit holds for the worst case: position plus all that may still fill."""

    max_order: PositiveFloat = 2_000.0
    max_position: PositiveFloat = 5_000.0  # of one symbol
    max_gross: PositiveFloat = 10_000.0
    max_net: PositiveFloat = 10_000.0
    max_open_orders: PositiveInt = 8  # of one symbol
    max_orders_per_s: PositiveInt = 10
    price_band: PositiveFloat = 0.01  # of the middle
    max_quote_age_s: PositiveFloat = 2.0
    max_daily_loss: PositiveFloat = 200.0  # from the day's first equity (UTC midnight): realised, unrealised, fees, funding
    max_drawdown: PositiveFloat = 300.0  # from the peak of equity
    max_loss_streak: PositiveInt = 20  # round trips that lost, one after another
    duplicate_s: NonNegativeFloat = 0.0  # an equal intent within so long of a live one is refused; 0: only while that one is live
    max_leverage: PositiveFloat = 3.0
    min_liquidation_distance: Share = 0.1  # of the mark price
    max_clock_jump_s: PositiveFloat = 5.0


class Strategy(Section):
    """Which strategy, and its parameters (those of its own `Params`)."""

    name: str = "scalping"
    params: dict[str, Any] = Field(default_factory=dict)


class Execution(Section):
    """How a wanted position becomes orders."""

    capital: PositiveFloat = 10_000.0  # quote currency: what weights are shares of
    weights: dict[str, Share] = Field(default_factory=dict)  # cap of each symbol; empty: equal shares
    reprice_ms: PositiveInt = 500  # a quote is moved at most so often
    patience_ms: PositiveInt = 3_000  # then what is left of an entry is given up, of an exit taken
    ioc_slip_bps: NonNegativeFloat = 5.0  # how far through the best an immediate order may go
    keep_orders_on_stop: bool = False
    venue_stop: bool = False  # keep a reduce-only stop at the venue behind each position (futures)
    venue_stop_bps: PositiveFloat = 100.0


class Rule(Section):
    """The indicator rule: periods and thresholds; changing one compiles nothing anew."""

    sma_fast: int = Field(default=20, ge=2, le=60)
    sma_slow: int = Field(default=50, ge=2, le=60)
    ema_fast: PositiveInt = 12
    ema_slow: PositiveInt = 26
    ema_signal: PositiveInt = 9
    rsi: PositiveInt = 14
    overbought: float = Field(default=70.0, gt=50, lt=100)
    oversold: float = Field(default=30.0, gt=0, lt=50)
    volume_ratio: PositiveFloat = 1.2
    volume_window: int = Field(default=20, ge=2, le=60)


class Model(Section):
    use: Literal["auto", "triton", "in-process", "none"] = "auto"  # auto: Triton where one is served, else in-process
    deadline_ms: PositiveFloat = 50.0  # asked again after 20 ms, given up after this
    max_age_ms: PositiveFloat = 1_500.0  # an older prediction opens nothing
    fallback: Literal["in-process", "none"] = "in-process"  # when Triton does not answer
    rule_weight: NonNegativeFloat = 0.5  # of the fused signal
    model_weight: NonNegativeFloat = 0.5
    min_confidence: Share = 0.0


class Exchange(Section):
    """Where orders go. `local` is the venue simulator, started beside the worker."""

    name: str = "local"  # local, binance-spot, binance-usdm, or ccxt:<id>
    symbols: tuple[str, ...] = ()  # empty: what the venue serves
    api_key: SecretStr = SecretStr("")
    api_secret: SecretStr = SecretStr("")
    rest_url: str = ""  # empty: the exchange's own
    ws_url: str = ""
    ws_api_url: str = ""
    recv_window_ms: PositiveInt = 5_000
    answer_timeout_s: PositiveFloat = 2.0  # after it an order is UNKNOWN
    confirm: str = ""  # the venue's name again: the second key that live trading needs
    dead_man_s: NonNegativeInt = 10  # the venue cancels all when it has not heard of us for so long; 0: off


class Venue(Section):
    """The venue simulator."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    kind: Literal["auto", "spot", "usdm"] = "auto"  # auto: what the recording is of
    speed: NonNegativeFloat = 1.0  # times life; 0: as fast as it goes
    feed_ms: NonNegativeFloat = 0.0  # added to what leaves the venue
    order_ms: NonNegativeFloat = 1.0  # on the way in
    response_ms: NonNegativeFloat = 1.0  # on the way back
    queue: Literal["pessimistic", "log", "power"] = "pessimistic"
    quote_balance: PositiveFloat = 100_000.0
    base_balance: NonNegativeFloat = 0.0
    seed: int = 7
    loop: bool = False  # begin again at the end of the recording


class Paper(Section):
    """Trading on paper: the market of a real exchange, orders into an account in the worker's own process."""

    order_ms: NonNegativeFloat = 30.0  # until an order is at the exchange, beyond what frames need to us
    response_ms: NonNegativeFloat = 30.0  # until we hear of it
    maker_bps: float | None = None  # of notional; unset: what the exchange charges
    taker_bps: float | None = None
    quote_balance: PositiveFloat = 100_000.0
    base_balance: NonNegativeFloat = 0.0
    leverage: PositiveInt = 5
    queue: Literal["pessimistic", "optimistic", "log", "power"] = "pessimistic"


class Ledger(Section):
    url: str = ""  # empty: SQLite under the data folder; else an SQLAlchemy URL (postgresql+psycopg://...)
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"  # FULL survives power loss without a reconcile
    lease_s: PositiveFloat = 5.0


class Stream(Section):
    """The worker's own address."""

    host: str = "127.0.0.1"
    port: int = 0
    api_key: SecretStr = SecretStr("")  # empty: one is made and kept in the data folder
    queue: PositiveInt = 10_000  # frames that may wait before a symbol goes stale
    mute_s: PositiveFloat = 10.0  # a feed silent for longer is not healthy
    reconcile_s: PositiveFloat = 5.0
    timer_ms: PositiveInt = 100
    rehearse_ms: NonNegativeFloat = (
        3.0  # so long before a second closes the way of an order is gone through, to be quick when it counts; 0: never
    )
    client_queue: PositiveInt = 1_000  # messages that may wait for one client of /stream; beyond, the oldest go and it is told
    rotate_mb: PositiveFloat = 64.0  # of recorded frames in a file
    journal: bool = True
    paper_hours: NonNegativeFloat = 24.0  # evidence that live trading asks for
