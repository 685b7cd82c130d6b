"""Why something failed, in one line that names the thing at fault, and what to type next."""

from typing import NamedTuple


class Cause(NamedTuple):
    """`line` for people; `fault` is the thing in it that is at fault; `kind` is one word for programs; `next` is a command."""

    line: str
    fault: str = ""
    kind: str = "error"
    next: str = ""


def cause_of(error: BaseException) -> Cause:
    """The cause of a failure."""
    text = str(error) or type(error).__name__
    return Cause(text.strip().splitlines()[0])
