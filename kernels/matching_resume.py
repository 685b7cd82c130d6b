"""An account at a simulated venue that goes on where it was: positions, funds and fees from the fills of its past."""

from collections.abc import Sequence

from core.orders import Fill, Status, Tif
from kernels.matching import Matching
from kernels.matching_account import FuturesAccount
from kernels.matching_words import Kind, VenueFill, VenueOrder


def resume(matching: Matching, fills: Sequence[Fill]) -> None:
    """Fold in `fills`, in order of time, with the fees that were paid then. For an account that nothing has happened on yet.

    They are listed again under their trade ids; their orders are not. Fills of symbols that are not listed are left out.
    """
    account = matching.account
    for fill in fills:
        if fill.symbol not in matching.listings:
            continue
        scale = matching.scales[fill.symbol]
        order = VenueOrder(
            venue_id=0, client_id=fill.order_id, symbol=fill.symbol, side=fill.side, kind=Kind.LIMIT, tif=Tif.GTC, price=0, size=fill.size,
            status=Status.FILLED,
        )  # fmt: skip
        fee, asset, realised = account.fill(order, fill.price, fill.size, fill.maker)
        if fill.fee_asset == asset:  # rates may have been others
            money = account.wallet if isinstance(account, FuturesAccount) else account.free
            money[asset] += (fee - fill.fee) * scale.fee
            account.fees[asset] -= (fee - fill.fee) * scale.fee
        plain = {name: getattr(fill, name) for name in Fill.__struct_fields__}
        matching.orders.fills[fill.symbol].append(VenueFill(**plain, venue_id=0, realised=realised))
        matching.orders.n_fills[fill.symbol] = max(matching.orders.n_fills[fill.symbol], fill.trade_id)
