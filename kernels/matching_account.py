"""What an account at a simulated venue holds, in exact whole numbers: spot funds, free and locked; futures wallet, positions, margin.

Cross margin, one-way positions. Initial margin of a symbol is max(|position + open buys|, |position - open sells|) / leverage in
notional, Binance's formula; a position is liquidated when wallet and unrealised result fall to the maintenance margin.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from core.market import Side
from core.orders import FEE_DECIMALS, Listing
from kernels.matching_words import Money, Position, VenueOrder

RATE_DECIMALS = 12  # of fee rates, as shares of notional


class Scale(NamedTuple):
    """What the units of a symbol are worth in money."""

    base: str
    quote: str
    notional: int  # money per price unit times size unit
    size: int  # money per size unit, of the base asset
    fee: int  # money per 10^-8
    maker: int  # rates, 10^-12
    taker: int


def decimals_of(listings: Iterable[Listing]) -> int:
    """Decimals of money that hold every notional exactly."""
    return max([FEE_DECIMALS, *(each.instrument.price_decimals + each.instrument.size_decimals for each in listings)])


def scale_of(listing: Listing, decimals: int) -> Scale:
    of = listing.instrument
    if of.inverse or of.contract_multiplier != 1:
        raise ValueError(f"{of.symbol}: only linear instruments with sizes in the base asset are matched")
    base, quote = of.base, of.quote
    if not base or not quote:
        raise ValueError(f"{of.symbol}: the instrument says neither base nor quote asset")
    rates = [int((Decimal(str(bps)) * 10 ** (RATE_DECIMALS - 4)).to_integral_value()) for bps in (of.maker_bps, of.taker_bps)]
    pd, sd = of.price_decimals, of.size_decimals
    return Scale(base, quote, 10 ** (decimals - pd - sd), 10 ** (decimals - sd), 10 ** (decimals - FEE_DECIMALS), *rates)


def money(amount: object, decimals: int) -> int:
    """Whole currency (decimal text, int, Decimal) as money. ValueError where it is finer than that."""
    units = Decimal(str(amount)).scaleb(decimals)
    if units != units.to_integral_value():
        raise ValueError(f"{amount} has more than {decimals} decimals")
    return int(units)


def fee_of(amount: int, rate: int, scale: Scale) -> int:
    """`amount` money times a rate, to the nearest 10^-8."""
    unit = scale.fee * 10**RATE_DECIMALS
    return (2 * amount * rate + unit) // (2 * unit)


def opened(
    kind: str, listings: Mapping[str, Listing], quote_balance: object, others: Mapping[str, object], leverage: int
) -> "SpotAccount | FuturesAccount":
    """An account at its beginning: so much of each quote asset, and of the `others`."""
    decimals = decimals_of(listings.values())
    scales = {symbol: scale_of(listing, decimals) for symbol, listing in listings.items()}
    start = {scale.quote: money(quote_balance, decimals) for scale in scales.values()}
    start |= {asset: money(amount, decimals) for asset, amount in others.items()}
    return SpotAccount(decimals, scales, start) if kind == "spot" else FuturesAccount(decimals, listings, scales, start, leverage)


class SpotAccount:
    """Funds by asset; open orders lock what they may need."""

    def __init__(self, decimals: int, scales: Mapping[str, Scale], balances: Mapping[str, int]) -> None:
        self.decimals, self.scales = decimals, scales
        assets = sorted({a for s in scales.values() for a in (s.base, s.quote)} | set(balances))
        self.free = {asset: balances.get(asset, 0) for asset in assets}
        self.locked = dict.fromkeys(assets, 0)
        self.fees = dict.fromkeys(assets, 0)  # paid so far

    def _needs(self, order: VenueOrder, size: int) -> tuple[str, int]:
        scale = self.scales[order.symbol]
        return (scale.quote, order.price * size * scale.notional) if order.side is Side.BUY else (scale.base, size * scale.size)

    def lacks(self, order: VenueOrder, cost: int) -> bool:
        """Whether the order cannot be paid; `cost`: notional of a market order as the book stands."""
        asset, needs = self._needs(order, order.size)
        if order.price == 0 and order.side is Side.BUY:
            needs = cost * self.scales[order.symbol].notional
        return needs > self.free[asset]

    def lock(self, order: VenueOrder, size: int) -> None:
        """Set aside what `size` of a limit order may need; below 0: give it back."""
        if order.price:
            asset, needs = self._needs(order, size)
            self.free[asset] -= needs
            self.locked[asset] += needs

    def fill(self, order: VenueOrder, price: int, size: int, maker: bool) -> tuple[int, str, int]:
        """(fee in 10^-8, its asset, realised): what is received pays the fee."""
        scale = self.scales[order.symbol]
        rate, notional, base = scale.maker if maker else scale.taker, price * size * scale.notional, size * scale.size
        gives, given, gets, got = (
            (scale.quote, notional, scale.base, base) if order.side is Side.BUY else (scale.base, base, scale.quote, notional)
        )
        fee = fee_of(got, rate, scale)
        self.free[gives] -= given
        self.free[gets] += got - fee * scale.fee
        self.fees[gets] += fee * scale.fee
        return fee, gets, 0

    def balances(self) -> list[Money]:
        return [Money(asset=a, free=self.free[a], locked=self.locked[a], wallet=self.free[a] + self.locked[a]) for a in self.free]

    def touched(self, symbol: str) -> tuple[str, ...]:
        return self.scales[symbol].base, self.scales[symbol].quote


class Held:
    """One position. `cost`: signed sum of price times size units of what is held; it is never rounded away, only divided."""

    __slots__ = ("buys", "cost", "leverage", "mark", "realised", "sells", "size", "ts")

    def __init__(self, leverage: int) -> None:
        self.size = self.cost = self.realised = self.mark = self.ts = 0
        self.buys = self.sells = 0  # notional of open orders that may open, units
        self.leverage = leverage


class FuturesAccount:
    """A wallet per quote asset and one-way positions, cross margin."""

    def __init__(
        self, decimals: int, listings: Mapping[str, Listing], scales: Mapping[str, Scale], balances: Mapping[str, int], leverage: int
    ) -> None:
        self.decimals, self.listings, self.scales = decimals, listings, scales
        assets = sorted({s.quote for s in scales.values()} | set(balances))
        self.wallet = {asset: balances.get(asset, 0) for asset in assets}
        self.fees, self.funded = dict.fromkeys(assets, 0), dict.fromkeys(assets, 0)  # paid so far, received so far
        self.held = {symbol: Held(leverage) for symbol in listings}

    def fill(self, order: VenueOrder, price: int, size: int, maker: bool) -> tuple[int, str, int]:
        """(fee in 10^-8, its asset, realised money)."""
        scale, held, sign = self.scales[order.symbol], self.held[order.symbol], order.side.sign
        realised = 0
        if held.size * sign < 0:
            closing = min(size, abs(held.size))
            gone = held.cost if closing == abs(held.size) else held.cost * closing // abs(held.size)
            realised = (-sign * closing * price - gone) * scale.notional
            held.cost += sign * (size - closing) * price - gone
        else:
            held.cost += sign * size * price
        held.size += sign * size
        held.realised += realised
        fee = fee_of(price * size * scale.notional, scale.maker if maker else scale.taker, scale)
        self.wallet[scale.quote] += realised - fee * scale.fee
        self.fees[scale.quote] += fee * scale.fee
        return fee, scale.quote, realised

    def unrealised(self, symbol: str) -> int:
        held = self.held[symbol]
        return (held.size * held.mark - held.cost) * self.scales[symbol].notional if held.size else 0

    def initial(self, symbol: str, *, buys: int = 0, sells: int = 0, leverage: int = 0) -> int:
        """Initial margin, also with further open notional or another leverage; rounded up."""
        held = self.held[symbol]
        present = held.size * held.mark
        worst = max(abs(present + held.buys + buys), abs(present - held.sells - sells)) * self.scales[symbol].notional
        return -(-worst // (leverage or held.leverage))

    def maintenance(self, symbol: str) -> int:
        held, share = self.held[symbol], self.listings[symbol].maintenance
        return int(abs(held.size) * held.mark * self.scales[symbol].notional * Decimal(str(share)))

    def symbols(self, asset: str) -> list[str]:
        return [symbol for symbol, scale in self.scales.items() if scale.quote == asset]

    def equity(self, asset: str) -> int:
        return self.wallet[asset] + sum(self.unrealised(s) for s in self.symbols(asset))

    def available(self, asset: str) -> int:
        """What is left for orders."""
        return self.equity(asset) - sum(self.initial(s) for s in self.symbols(asset))

    def lever(self, symbol: str, leverage: int) -> bool:
        """Change the leverage; False, and nothing changed, where the margin that asks for is not there."""
        more = self.initial(symbol, leverage=leverage) - self.initial(symbol)
        if more > 0 and more > self.available(self.scales[symbol].quote):
            return False
        self.held[symbol].leverage = leverage
        return True

    def lacks(self, order: VenueOrder, notional: int) -> bool:
        """Whether the margin that the order would need in addition is not there; `notional` of the order, units."""
        buys, sells = (notional, 0) if order.side is Side.BUY else (0, notional)
        needs = self.initial(order.symbol, buys=buys, sells=sells) - self.initial(order.symbol)
        return needs > 0 and needs > self.available(self.scales[order.symbol].quote)

    def lock(self, order: VenueOrder, size: int) -> None:
        """Count `size` more (below 0: less) of a resting order that may open."""
        if order.price and not order.reduce_only:
            held = self.held[order.symbol]
            if order.side is Side.BUY:
                held.buys += order.price * size
            else:
                held.sells += order.price * size

    def balances(self) -> list[Money]:
        return [
            Money(asset=asset, free=max(0, free := self.available(asset)), locked=self.equity(asset) - free, wallet=wallet)
            for asset, wallet in self.wallet.items()
        ]

    def touched(self, symbol: str) -> tuple[str, ...]:
        return (self.scales[symbol].quote,)

    def position(self, symbol: str) -> Position:
        held, listing = self.held[symbol], self.listings[symbol]
        unit = listing.price_unit
        return Position(
            symbol=symbol,
            size=held.size,
            entry_price=held.cost / held.size / unit if held.size else 0.0,
            mark_price=held.mark / unit,
            liquidation_price=self.liquidation_price(symbol),
            leverage=held.leverage,
            realised=held.realised,
            unrealised=self.unrealised(symbol),
            initial_margin=self.initial(symbol),
            maintenance_margin=self.maintenance(symbol),
            ts_updated=held.ts,
        )

    def liquidation_price(self, symbol: str) -> float:
        """The mark price at which equity equals maintenance, the other positions as they are; 0 where there is none.

        wallet + others' (unrealised - maintenance) + size * (price - entry) = |size| * price * maintenance share, solved for price.
        """
        held, listing, asset = self.held[symbol], self.listings[symbol], self.scales[symbol].quote
        if not held.size:
            return 0.0
        others = sum(self.unrealised(s) - self.maintenance(s) for s in self.symbols(asset) if s != symbol)
        backing = (self.wallet[asset] + others) / self.scales[symbol].notional
        slope = abs(held.size) * listing.maintenance - held.size
        return max(0.0, (backing - held.cost) / slope / listing.price_unit) if slope else 0.0
