"""What Binance lists, as our listings: `exchangeInfo`, leverage brackets and commissions read into the grid orders must lie on."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from core.market import MAX_DECIMALS, SYMBOL, Instrument
from core.orders import Listing
from serving.exchange import ExchangeError
from serving.limits import RateLimit

Kind = Literal["spot", "usdm"]
TRADING = "TRADING"
LARGEST = 2**53
FEES: dict[Kind, tuple[float, float]] = {"spot": (10.0, 10.0), "usdm": (2.0, 5.0)}  # basis points, where the account's are not known


class Filter(Struct):
    filterType: str
    tickSize: str = "0"
    stepSize: str = "0"
    minQty: str = "0"
    maxQty: str = "0"
    notional: str = "0"
    minNotional: str = "0"
    multiplierUp: str = "1.1"
    multiplierDown: str = "0.9"
    bidMultiplierUp: str = "1.1"
    askMultiplierDown: str = "0.9"


class Listed(Struct):
    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str
    filters: list[Filter]
    marginAsset: str = ""
    contractType: str = "PERPETUAL"
    requiredMarginPercent: str = "5"
    maintMarginPercent: str = "0.5"


class Info(Struct):
    symbols: list[Listed]
    rateLimits: list[RateLimit] = []


class Bracket(Struct):
    bracket: int
    initialLeverage: float
    maintMarginRatio: float


class Brackets(Struct):
    symbol: str
    brackets: list[Bracket]


class Commission(Struct):
    """Of USD-M futures."""

    symbol: str
    makerCommissionRate: str
    takerCommissionRate: str


def chosen(info: Info, kind: Kind, symbols: Sequence[str]) -> list[Listed]:
    """The symbols asked for, or all that trade. Raises `ExchangeError` for one that is not listed.

    Symbols in other letters than ours (there are some in Chinese) are left out: they name folders and streams here.
    """
    ours = [one for one in info.symbols if SYMBOL.fullmatch(one.symbol)]
    told = {one.symbol: one for one in ours if kind == "spot" or one.contractType == "PERPETUAL"}
    if missing := [symbol for symbol in symbols if symbol not in told]:
        some = ", ".join(sorted(told)[:8])
        raise ExchangeError(f"{', '.join(missing)} not listed there (it has {some} ...): check SCALP_EXCHANGE__SYMBOLS")
    return [told[symbol] for symbol in symbols] or [one for one in told.values() if one.status == TRADING]


def listing(of: Listed, kind: Kind, venue: str, bracket: Bracket | None, fees: tuple[float, float]) -> Listing:
    """One symbol. `fees`: maker and taker in basis points. Raises `ExchangeError` where it has no grid."""
    by = {one.filterType: one for one in of.filters}
    price, lot = by.get("PRICE_FILTER"), by.get("LOT_SIZE")
    if price is None or lot is None or not Decimal(price.tickSize) or not Decimal(lot.stepSize):
        raise ExchangeError(f"{of.symbol} has no tick or lot size: it cannot be traded exactly")
    market = by.get("MARKET_LOT_SIZE", lot)
    money = by.get("MIN_NOTIONAL") or by.get("NOTIONAL")
    price_decimals, size_decimals = decimals_of(price.tickSize), size_decimals_of(lot.stepSize, spot=kind == "spot")
    largest = min(Decimal(one.maxQty) for one in (lot, market) if Decimal(one.maxQty) > 0)
    instrument = Instrument(
        venue=venue, symbol=of.symbol, price_decimals=price_decimals, size_decimals=size_decimals, tick_size=float(price.tickSize),
        lot_size=float(lot.stepSize), base=of.baseAsset, quote=of.quoteAsset, settlement=of.marginAsset or of.quoteAsset,
        maker_bps=fees[0], taker_bps=fees[1],
    )  # fmt: skip
    leverage, maintenance = 1.0, 0.0
    if kind == "usdm":
        leverage = bracket.initialLeverage if bracket else 100.0 / float(of.requiredMarginPercent)
        maintenance = bracket.maintMarginRatio if bracket else float(of.maintMarginPercent) / 100
    return Listing(
        instrument=instrument, tick=whole(price.tickSize, price_decimals), lot=whole(lot.stepSize, size_decimals),
        min_size=whole(lot.minQty, size_decimals), max_size=min(int(largest.scaleb(size_decimals)), LARGEST),
        min_notional=max(float(money.notional), float(money.minNotional)) if money else 0.0, max_leverage=leverage,
        maintenance=maintenance, band=band_of(by), status=of.status,
    )  # fmt: skip


def band_of(by: Mapping[str, Filter]) -> float:
    """How far a limit price may be from the middle, as a share of it: the narrower of both sides."""
    if (both := by.get("PERCENT_PRICE")) is not None:
        up, down = both.multiplierUp, both.multiplierDown
    elif (sides := by.get("PERCENT_PRICE_BY_SIDE")) is not None:
        up, down = sides.bidMultiplierUp, sides.askMultiplierDown
    else:
        return 1.0
    return float(min(Decimal(up) - 1, 1 - Decimal(down)))


def decimals_of(step: str) -> int:
    """Decimals that a step needs: 0.0100 has 2, 10 has 0."""
    places = max(0, -int(Decimal(step).normalize().as_tuple().exponent))
    if places > MAX_DECIMALS:
        raise ExchangeError(f"a step of {step} is finer than {MAX_DECIMALS} decimals")
    return places


def size_decimals_of(lot: str, *, spot: bool) -> int:
    """Decimals in which the sizes of a book are whole, for a lot.

    The lots of spot were finer once, and what was ordered then still rests: where a lot is below 1 its books are read with the 8
    decimals that Binance's spot assets have. A lot of 0.1 has 6, so that a level of a cheap asset may be of a billion: beyond 10^15
    units nothing is exact. Where lots change below 0.1 the decimals stay, and with them what a ledger's numbers mean.
    """
    places = decimals_of(lot)
    return max(places, (0, 6, 8)[min(places, 2)]) if spot else places


def whole(text: str, decimals: int) -> int:
    """Decimal text as units of 10^-decimals. Raises `ExchangeError` where it is finer."""
    units = Decimal(text).scaleb(decimals)
    if units != units.to_integral_value():
        raise ExchangeError(f"{text} is finer than {decimals} decimals")
    return int(units)
