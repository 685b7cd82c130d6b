"""A REST snapshot as the engine takes it: whole numbers, exactly."""

from decimal import Decimal

import msgspec

from core.events import Snapshot
from core.orders import Listing
from serving.exchange import ExchangeError, Whole


class _Text(msgspec.Struct):
    last_id: int = msgspec.field(name="lastUpdateId")
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []


_DECODER = msgspec.json.Decoder(_Text)


def units(text: str, decimals: int) -> int:
    """A decimal text in units of 10^-decimals. Raises `ValueError` where it is finer, or no number."""
    scaled = Decimal(text).scaleb(decimals)
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{text} has more than {decimals} decimals")
    return whole


def snapshot_of(whole: Whole, listing: Listing) -> Snapshot:
    """Raises `ExchangeError` where the answer is no snapshot."""
    of = listing.instrument
    try:
        told = _DECODER.decode(whole.text)
        sides = [
            tuple((units(p, of.price_decimals), units(q, of.size_decimals)) for p, q in side if Decimal(q))
            for side in (told.bids, told.asks)
        ]
    except (msgspec.MsgspecError, ValueError, ArithmeticError) as error:
        raise ExchangeError(f"the snapshot of {whole.symbol} cannot be read: {error}") from error
    return Snapshot(ts=whole.ts_recv, symbol=whole.symbol, update_id=told.last_id, bids=sides[0], asks=sides[1])
