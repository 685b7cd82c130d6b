"""Which prices a simulated venue goes by: the last trade, the middle of the book, and the mark price."""

from collections.abc import Mapping

from kernels.matching_account import FuturesAccount
from kernels.matching_book import MovingBook


class Prices:
    """In price units, 0 while unknown. The mark price is the middle of the book until the venue tells one."""

    def __init__(self, books: Mapping[str, MovingBook], futures: FuturesAccount | None) -> None:
        self.books, self.futures = books, futures
        self.last = dict.fromkeys(books, 0)
        self.told: set[str] = set()  # symbols whose mark price the venue tells

    def middle(self, symbol: str) -> float:
        """Of the book, else the last trade's price."""
        bid, _, ask, _ = self.books[symbol].top()
        return (bid + ask) / 2 if bid and ask else float(self.last[symbol])

    def mark(self, symbol: str, price: int) -> None:
        """The venue tells its mark price."""
        if self.futures and price > 0:
            self.told.add(symbol)
            self.futures.held[symbol].mark = price

    def refresh(self, *symbols: str) -> None:
        """Bring the mark prices that follow the book up to date, of all symbols where none is named."""
        if self.futures:
            for symbol in symbols or self.books:
                if symbol not in self.told and (middle := int(self.middle(symbol))):
                    self.futures.held[symbol].mark = middle

    def marked(self, symbol: str) -> int:
        self.refresh(symbol)
        return self.futures.held[symbol].mark if self.futures else int(self.middle(symbol))
