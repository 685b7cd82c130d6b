"""Dead-man's switches of a simulated venue: what is open is cancelled unless the countdown is set anew in time."""

NEVER = 1 << 62


class Countdowns:
    """By symbol, when each runs out (ns); `next` is the earliest."""

    def __init__(self) -> None:
        self.due: dict[str, int] = {}
        self.next = NEVER

    def set(self, symbol: str, due: int | None) -> None:
        """Start one anew, or end it."""
        self.due.pop(symbol, None)
        if due is not None:
            self.due[symbol] = due
        self.next = min(self.due.values(), default=NEVER)

    def out(self) -> tuple[int, str]:
        """(when, symbol) of the earliest, which is over with that."""
        due, symbol = min((due, symbol) for symbol, due in self.due.items())
        self.set(symbol, None)
        return due, symbol
