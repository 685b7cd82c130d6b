"""The lives of orders at a simulated venue: arrive, rest, fill, expire; each step is told as an update, in order.

Stands between the book of each symbol (`kernels.matching_book`) and the account: what the book reports becomes fills and money here.
"""

from collections.abc import Mapping

from core.market import Side
from core.orders import Listing, Status, Tif
from kernels import fills_venue
from kernels.fills_book import BUY, SELL
from kernels.fills_venue import CANCELLED, EXPIRED, FILLED, LIMIT, MAKER, MARKET, NEW, ORDER, PARTIAL, PRICE, SIZE, STATUS
from kernels.matching_account import FuturesAccount, SpotAccount
from kernels.matching_book import MovingBook
from kernels.matching_checks import triggered
from kernels.matching_orders import Orders
from kernels.matching_words import AccountUpdate, Execution, Kind, OrderUpdate, Stp, VenueFill, VenueOrder, Working

TIFS = {Tif.GTC: fills_venue.GTC, Tif.GTX: fills_venue.GTX, Tif.IOC: fills_venue.IOC}
ENDS = {Status.CANCELLED: Execution.CANCELED, Status.EXPIRED: Execution.EXPIRED}


class Desk:
    def __init__(
        self, listings: Mapping[str, Listing], books: Mapping[str, MovingBook], account: SpotAccount | FuturesAccount, orders: Orders
    ) -> None:
        self.listings, self.books, self.account, self.orders = listings, books, account, orders
        self.futures = account if isinstance(account, FuturesAccount) else None
        self.waiting: dict[str, dict[int, VenueOrder]] = {symbol: {} for symbol in listings}  # conditional orders
        self.updates: list[OrderUpdate | AccountUpdate] = []

    # telling

    def tell(self, ts: int, execution: Execution, order: VenueOrder, fill: VenueFill | None = None) -> None:
        order.ts_updated = ts
        self.updates.append(OrderUpdate(ts=ts, execution=execution, order=order.copy(), fill=fill))

    def tell_account(self, ts: int, reason: str, symbol: str, amount: int = 0) -> None:
        assets = self.account.touched(symbol)
        balances = tuple(each for each in self.account.balances() if each.asset in assets)
        positions = (self.futures.position(symbol),) if self.futures else ()
        self.updates.append(AccountUpdate(ts=ts, reason=reason, balances=balances, positions=positions, symbol=symbol, amount=amount))

    # orders

    def accept(self, ts: int, order: VenueOrder, *, expires: bool = False) -> None:
        """A checked order is an order from now on: it waits for its trigger, arrives at the book, or (post only, would take) expires."""
        self.orders.add(order)
        if expires:
            self.tell(ts, Execution.NEW, order)
            self._close(ts, order, Status.EXPIRED, "would take")
            return
        if order.kind.conditional:
            self.waiting[order.symbol][order.venue_id] = order
            self.tell(ts, Execution.NEW, order)
        else:
            self.arrive(ts, order)

    def arrive(self, ts: int, order: VenueOrder) -> None:
        """An accepted order comes to the book."""
        order.ts_working = ts
        if order.triggered:
            self.tell(ts, Execution.TRIGGERED, order)
        else:
            self.tell(ts, Execution.NEW, order)
        ours = self.crossed(order) if order.stp is not Stp.NONE else []
        if ours and order.stp is not Stp.EXPIRE_TAKER:
            for maker in ours:
                self.end(ts, maker, Status.EXPIRED, "stp")
        if ours and order.stp is not Stp.EXPIRE_MAKER:
            self.end(ts, order, Status.EXPIRED, "stp")
            return
        self.account.lock(order, order.size)
        kind, tif = (LIMIT, TIFS[order.tif]) if order.kind is Kind.LIMIT else (MARKET, fills_venue.IOC)
        self.books[order.symbol].place(ts, order.venue_id, side_of(order.side), order.price, order.size, kind, tif)
        self.settle(order.symbol)

    def crossed(self, order: VenueOrder) -> list[VenueOrder]:
        """Our own resting orders that the order would come to before it is filled, best price first."""
        book, side = self.books[order.symbol], side_of(order.side)
        own = book.own(1 - side)
        if order.kind is Kind.LIMIT:
            own = [row for row in own if (row[1] - order.price) * order.side.sign <= 0]
        if not own:
            return []
        offers = book.offers(side, order.size)
        if not book.partial:  # the best price fills an order as a whole
            offers = [(price, order.size) for price, _ in offers[:1]]
        reached = []
        for venue_id, price, _, ahead in own:
            before = sum(size for at, size in offers if (at - price) * order.side.sign < 0)
            there = any(at == price for at, _ in offers)
            if before + (ahead if there else 0) < order.size:
                reached.append(self.orders.open[order.symbol][venue_id])
        return reached

    def takes(self, side: Side, symbol: str, price: int) -> bool:
        """Whether a limit at `price` would take: from the market, or from an order of our own."""
        book = self.books[symbol]
        bid, _, ask, _ = book.top()
        if side is Side.BUY:
            return bool(ask and price >= ask) or any(price >= row[1] for row in book.own(SELL)[:1])
        return bool(bid and price <= bid) or any(price <= row[1] for row in book.own(BUY)[:1])

    def end(self, ts: int, order: VenueOrder, status: Status, why: str) -> None:
        """An open order is over before it is filled, wherever it stands."""
        rests = any(row[0] == order.venue_id for row in self.books[order.symbol].own(side_of(order.side)))
        if rests:
            self.account.lock(order, -order.left)
        self._close(ts, order, status, why)
        if rests:
            self.books[order.symbol].cancel(ts, order.venue_id)
            self.settle(order.symbol)  # its report finds the order closed

    def end_all(self, ts: int, symbol: str, why: str, *, conditional: bool = True) -> list[VenueOrder]:
        """Cancel what is open, oldest first; without `conditional` what waits for a price stays."""
        orders = [order for order in self.orders.standing(symbol) if conditional or order.venue_id not in self.waiting[symbol]]
        for order in orders:
            self.end(ts, order, Status.CANCELLED, why)
        return [order.copy() for order in orders]

    def _close(self, ts: int, order: VenueOrder, status: Status, why: str) -> None:
        order.status, order.why = status, why
        self.waiting[order.symbol].pop(order.venue_id, None)
        self.orders.close(order)
        self.tell(ts, ENDS[status], order)

    # what the book reports

    def settle(self, symbol: str) -> None:
        """Turn the book's new reports into fills, money and updates."""
        filled = 0
        tick = self.listings[symbol].tick
        for row in self.books[symbol].reports():
            order = self.orders.open[symbol].get(row[ORDER])
            if order is None:
                continue  # we ended it ourselves
            ts, status = row[fills_venue.TS], row[STATUS]
            if status in (FILLED, PARTIAL):
                filled = ts
                self._fill(ts, order, row[PRICE] * tick, row[SIZE], row[MAKER] != 0)
            elif status in (EXPIRED, CANCELLED):
                self.account.lock(order, -order.left)
                self._close(ts, order, Status.EXPIRED if status == EXPIRED else Status.CANCELLED, "")
            elif status != NEW:
                raise RuntimeError(f"the book rejected an order that was checked: {order}, {row}")
        if filled and self.futures:
            self._reduce(filled, symbol)

    def _fill(self, ts: int, order: VenueOrder, price: int, size: int, maker: bool) -> None:
        if order.reduce_only:
            size = min(size, self.reducible(order.symbol, order.side))
            if not size:
                return  # it ends as soon as this settlement does
        self.account.lock(order, -size)
        fee, asset, realised = self.account.fill(order, price, size, maker)
        order.filled += size
        order.notional += price * size
        order.status = Status.FILLED if order.filled == order.size else Status.PARTIAL
        fill = VenueFill(
            order_id=order.client_id, symbol=order.symbol, trade_id=self.orders.n_fills[order.symbol] + 1, side=order.side, price=price,
            size=size, maker=maker, fee=fee, fee_asset=asset, ts_event=ts, venue_id=order.venue_id, realised=realised,
        )  # fmt: skip
        self.orders.fill(fill)
        if self.futures:
            self.futures.held[order.symbol].ts = ts
        if order.status is Status.FILLED:
            self.orders.close(order)
        self.tell(ts, Execution.TRADE, order, fill)
        self.tell_account(ts, "ORDER", order.symbol)

    def reducible(self, symbol: str, side: Side) -> int:
        """How much an order of that side can take off the position."""
        return max(0, -side.sign * self.futures.held[symbol].size) if self.futures else 0

    def _reduce(self, ts: int, symbol: str) -> None:
        """End the reduce-only orders in the book that have nothing left to reduce."""
        for order in [each for each in self.orders.open[symbol].values() if each.reduce_only and each.ts_working]:
            rests = next((row for row in self.books[symbol].own(side_of(order.side)) if row[0] == order.venue_id), None)
            if not rests or not self.reducible(symbol, order.side):
                self.end(ts, order, Status.EXPIRED, "reduce only")

    # triggers

    def trigger(self, ts: int, symbol: str, working: Working, price: int) -> None:
        """A price was seen: the conditional orders that waited for it arrive as market orders."""
        for order in [
            each
            for each in self.waiting[symbol].values()
            if each.working is working and triggered(each.kind, each.side, each.stop_price, price)
        ]:
            if order.venue_id in self.waiting[symbol]:
                self.fire(ts, order)

    def fire(self, ts: int, order: VenueOrder) -> None:
        assert self.futures is not None
        del self.waiting[order.symbol][order.venue_id]
        order.triggered = True
        if order.close_position or order.reduce_only:
            order.reduce_only = True
            most = self.reducible(order.symbol, order.side)
            order.size = most if order.close_position else min(order.size, most)
            if not order.size:
                self._close(ts, order, Status.EXPIRED, "reduce only")
                return
        elif self.futures.lacks(order, order.size * self.futures.held[order.symbol].mark):
            self._close(ts, order, Status.EXPIRED, "margin")
            return
        self.arrive(ts, order)

    def liquidate(self, ts: int, asset: str) -> None:
        """Where equity does not cover the maintenance margin of an asset's positions: cancel their orders, then close at the market.

        What is lost beyond the wallet stays there as a debt; a venue's insurance fund is not simulated.
        """
        futures = self.futures
        if futures is None or futures.equity(asset) > sum(futures.maintenance(each) for each in futures.symbols(asset)):
            return
        for symbol in futures.symbols(asset):
            self.end_all(ts, symbol, "liquidation")
            if size := futures.held[symbol].size:
                venue_id = self.orders.next_id
                order = VenueOrder(
                    venue_id=venue_id, client_id=f"autoclose-{venue_id}", symbol=symbol, side=Side.SELL if size > 0 else Side.BUY,
                    kind=Kind.MARKET, tif=Tif.IOC, price=0, size=abs(size), reduce_only=True, ts_created=ts, ts_updated=ts,
                    why="liquidation",
                )  # fmt: skip
                self.accept(ts, order)


def side_of(side: Side) -> int:
    return BUY if side is Side.BUY else SELL
