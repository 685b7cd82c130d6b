"""Whether a simulated venue takes an order: its form, its value, then what the book and the account have against it, as Binance asks."""

from core.orders import Listing, Tif
from kernels import matching_checks as checks
from kernels.matching_book import MovingBook
from kernels.matching_desk import Desk, side_of
from kernels.matching_prices import Prices
from kernels.matching_words import Kind, New, Refusal, VenueOrder, Working


class Admission:
    def __init__(self, kind: str, desk: Desk, prices: Prices, room: int) -> None:
        self.kind, self.desk, self.prices, self.room = kind, desk, prices, room

    def order(self, ts: int, new: New) -> VenueOrder | Refusal:
        """The order as the venue will keep it, or why not. Nothing is changed."""
        kind, listing, orders = self.kind, self.desk.listings.get(new.symbol), self.desk.orders
        if listing is None:
            return checks.NO_SYMBOL
        spent = new.quote_size // self.desk.account.scales[new.symbol].notional
        refusal = (
            checks.bad_client_id(kind, new.client_id)
            or checks.bad_form(kind, new, listing)
            or checks.bad_value(kind, new, listing, self.prices.middle(new.symbol), spent)
        )
        if refusal:
            return refusal
        if orders.has_open(new.symbol, new.client_id):
            return checks.DUPLICATE[kind]
        order = VenueOrder(
            venue_id=orders.next_id, client_id=new.client_id, symbol=new.symbol, side=new.side, kind=new.kind, tif=new.tif,
            price=new.price if new.kind is Kind.LIMIT else 0, size=new.size or self._bought(new, listing, spent), quote_size=new.quote_size,
            stop_price=new.stop_price if new.kind.conditional else 0, working=new.working, reduce_only=new.reduce_only,
            close_position=new.close_position, stp=new.stp, ts_created=ts, ts_updated=ts,
        )  # fmt: skip
        return self._room(order) or self._funds(order) or order

    def takes(self, order: VenueOrder) -> bool:
        """Whether it is post only and would take."""
        post_only = order.tif is Tif.GTX and order.kind is Kind.LIMIT
        return post_only and self.desk.takes(order.side, order.symbol, order.price)

    def _room(self, order: VenueOrder) -> Refusal | None:
        waiting, resting = self.desk.waiting[order.symbol], self.desk.books[order.symbol].own(side_of(order.side))
        return checks.TOO_MANY[self.kind] if max(len(waiting), len(resting)) >= self.room else None

    def _funds(self, order: VenueOrder) -> Refusal | None:
        symbol, desk = order.symbol, self.desk
        book, side = desk.books[symbol], side_of(order.side)
        if order.kind.conditional:
            price = self.prices.last[symbol] if order.working is Working.CONTRACT else self.prices.marked(symbol)
            return checks.TRIGGERS_NOW if price and checks.triggered(order.kind, order.side, order.stop_price, price) else None
        if order.quote_size and not order.size:
            return checks.NO_LOT if book.offers(side, 1) else checks.EMPTY
        if order.reduce_only:
            order.size = min(order.size, desk.reducible(symbol, order.side))
            return None if order.size else checks.NOT_REDUCED
        if desk.futures:
            self.prices.refresh()
            price = order.price or best(book, side) or desk.futures.held[symbol].mark
            return checks.NO_MARGIN if desk.futures.lacks(order, price * order.size) else None
        return checks.NO_FUNDS if desk.account.lacks(order, 0 if order.price else cost(book, side, order.size)) else None

    def _bought(self, new: New, listing: Listing, left: int) -> int:
        """Size of a market order given by the notional to spend or get, as the book stands: whole lots."""
        size, book = 0, self.desk.books[new.symbol]
        if not left:
            return 0
        for price, there in book.offers(side_of(new.side), listing.max_size):
            some = min(left // price, there) if book.partial else left // price
            size, left = size + some, left - some * price
            if some < there or not book.partial:
                break
        return size - size % listing.lot


def best(book: MovingBook, side: int) -> int:
    """The price that an order of `side` would take first, 0 where there is none."""
    return next((price for price, _ in book.offers(side, 1)), 0)


def cost(book: MovingBook, side: int, size: int) -> int:
    """Notional of a market order as the book stands, in price units times size units."""
    if not book.partial:
        return best(book, side) * size
    spent = 0
    for price, there in book.offers(side, size):
        spent += price * min(there, size)
        size -= min(there, size)
    return spent
