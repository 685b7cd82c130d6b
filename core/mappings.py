"""Which column of a foreign Parquet table is which of ours; two such tables are known from the start."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableMapping(Section):
    """Which column of a foreign Parquet table is which of ours. Times are told by `unit` or by their type."""

    venue: str  # a venue's name, or "{column}" patterns filled from the row, e.g. "binance-{market_type}"
    venue_names: dict[str, str] = {}  # filled pattern -> our venue
    symbol: str = "symbol"
    symbol_names: dict[str, str] = {}
    trades_glob: str
    trade_ts_event: str
    trade_ts_recv: str
    trade_price: str
    trade_size: str
    trade_side: str | None = None
    trade_id: str | None = None
    sides_known: bool = True  # false: the recorder lost the aggressor; it is inferred from the book and flagged
    book_glob: str
    book_ts_event: str
    book_ts_recv: str
    book_update_id: str | None = None
    bid_prices: str
    bid_sizes: str
    ask_prices: str
    ask_sizes: str


STANDX = TableMapping(
    venue="standx",
    trades_glob="trades_*.parquet",
    trade_ts_event="timestamp",
    trade_ts_recv="received_at",
    trade_price="price",
    trade_size="quantity",
    trade_side=None,
    sides_known=False,
    book_glob="orderbook_*.parquet",
    book_ts_event="timestamp",
    book_ts_recv="received_at",
    bid_prices="bid_prices",
    bid_sizes="bid_quantities",
    ask_prices="ask_prices",
    ask_sizes="ask_quantities",
)
MICROSTRUCTURE = TableMapping(
    venue="{venue}-{market_type}",
    venue_names={"Binance-fut": "binance-usdm", "Binance-spot": "binance-spot"},
    trades_glob="trades_*.parquet",
    trade_ts_event="exch_ts_ms",
    trade_ts_recv="ts_ms",
    trade_price="price",
    trade_size="qty",
    trade_side="side",
    trade_id="trade_id",
    book_glob="lobdeep_*.parquet",
    book_ts_event="exch_ts_ms",
    book_ts_recv="ts_ms",
    book_update_id="seq",
    bid_prices="bids_px",
    bid_sizes="bids_qty",
    ask_prices="asks_px",
    ask_sizes="asks_qty",
)
MAPPINGS = {"standx": STANDX, "crypto-microstructure": MICROSTRUCTURE}
