"""Where Binance is, and on what terms an account trades there: leverage and commissions. Whether the keys are good shows here."""

import asyncio
from collections.abc import Sequence

import msgspec

from serving.binance_listed import Bracket, Brackets, Commission, Kind
from serving.binance_rest import Rest, query, read
from serving.binance_words import SpotAccount
from serving.exchange import ExchangeError

COMMISSIONS = 20  # of so many symbols the account's own are asked for


class Urls(msgspec.Struct, frozen=True):
    """`ws` is what `/ws` and `/stream` are added to; `ws_api` is spot's."""

    rest: str
    ws: str
    ws_api: str = ""


URLS: dict[Kind, Urls] = {
    "spot": Urls("https://api.binance.com", "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443/ws-api/v3"),
    "usdm": Urls("https://fapi.binance.com", "wss://fstream.binance.com"),
}


class Sides(msgspec.Struct):
    dualSidePosition: bool


async def terms(rest: Rest, spot: bool, symbols: Sequence[str]) -> tuple[dict[str, Bracket], dict[str, tuple[float, float]]]:
    """Leverage, and maker and taker commissions in basis points, by symbol; those of "" hold for all.

    Raises `ExchangeError` for an account that cannot trade here, and what `Rest` raises.
    """
    if spot:
        account = read(await rest.signed("GET", "account", 20), SpotAccount)
        if not account.canTrade:
            raise ExchangeError("this account may not trade: see its settings at the venue")
        rates = account.commissionRates
        return {}, {"": (1e4 * float(rates["maker"]), 1e4 * float(rates["taker"]))} if rates else {}
    wanted = symbols if len(symbols) <= COMMISSIONS else ()
    sides, brackets, *rates = await asyncio.gather(
        rest.signed("GET", "positionSide/dual", 30),
        rest.signed("GET", "leverageBracket", 1),
        *(rest.signed("GET", "commissionRate", 20, query(symbol=symbol)) for symbol in wanted),
    )
    if read(sides, Sides).dualSidePosition:
        raise ExchangeError("the account holds both sides of a symbol apart (hedge mode): set it to one-way mode at the venue")
    told = read(brackets, list[Brackets])
    paid = [read(rate, Commission) for rate in rates]
    fees = {one.symbol: (1e4 * float(one.makerCommissionRate), 1e4 * float(one.takerCommissionRate)) for one in paid}
    return {one.symbol: min(one.brackets, key=lambda bracket: bracket.bracket) for one in told if one.brackets}, fees
