"""How long the parts of a step took, for whoever wants to know. Nothing is decided by it: replay runs without, and decides the same."""

from collections.abc import Callable, Iterator

BOOK, FEATURES, RULE, RISK = range(4)
PARTS = ("book", "features", "rule", "risk")


class Laps:
    """Sums by part since they were taken last; `timer` is a clock in ns that the worker gives."""

    __slots__ = ("spent", "timer")

    def __init__(self, timer: Callable[[], int]) -> None:
        self.timer, self.spent = timer, [0] * len(PARTS)

    def took(self, part: int, began: int) -> None:
        self.spent[part] += self.timer() - began

    def taken(self) -> Iterator[tuple[str, int]]:
        """The parts that there was something of, ns; they begin again at 0."""
        spent, self.spent = self.spent, [0] * len(PARTS)
        return ((name, ns) for name, ns in zip(PARTS, spent, strict=True) if ns)
