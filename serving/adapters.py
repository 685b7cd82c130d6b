"""Exchanges by their names in the settings: `local`, `binance-spot`, `binance-usdm`, or `ccxt:<id>` (`ccxt:<id>@testnet`) for any other."""

import time
from collections.abc import Callable

from core import live_settings
from serving.binance import Binance
from serving.binance_listed import Kind
from serving.binance_open import URLS, Urls
from serving.exchange import Exchange, ExchangeError


def made(
    settings: live_settings.Exchange, *, kind: Kind = "usdm", venue: str = "", mute_s: float = 10.0, clock: Callable[[], int] = time.time_ns
) -> Exchange:
    """The exchange that is named; nothing is connected before its `open`. Raises `ExchangeError` for a name that there is not.

    `kind`: what `local` is (the simulator says so). `venue`: our name of it where it is another than usual.
    """
    key, secret = settings.api_key.get_secret_value(), settings.api_secret.get_secret_value()
    if settings.name.startswith("ccxt:"):
        from serving.ccxt_exchange import Ccxt  # a second of imports that the others do without

        name, _, place = settings.name.removeprefix("ccxt:").partition("@")
        if place not in ("", "testnet"):
            raise ExchangeError(f"{settings.name!r}: ccxt:{name}, or ccxt:{name}@testnet")
        return Ccxt(
            name, sandbox=place == "testnet", api_key=key, api_secret=secret, symbols=settings.symbols, venue=venue,
            timeout_s=settings.answer_timeout_s, clock=clock,
        )  # fmt: skip
    kinds: dict[str, Kind] = {"local": kind, "binance-spot": "spot", "binance-usdm": "usdm"}
    if settings.name not in kinds:
        raise ExchangeError(f"no exchange {settings.name!r}: local, binance-spot, binance-usdm, or ccxt: and one of ccxt's names")
    if settings.name == "local" and not (settings.rest_url and settings.ws_url):
        raise ExchangeError("the local venue has no address: start one with `scalp venue`, or give SCALP_EXCHANGE__REST_URL and __WS_URL")
    of = kinds[settings.name]
    usual = URLS[of]
    urls = Urls(settings.rest_url or usual.rest, settings.ws_url or usual.ws, settings.ws_api_url or usual.ws_api)
    return Binance(
        of, api_key=key, api_secret=secret, urls=urls, symbols=settings.symbols, venue=venue, recv_window_ms=settings.recv_window_ms,
        timeout_s=settings.answer_timeout_s, mute_s=mute_s, clock=clock,
    )  # fmt: skip
