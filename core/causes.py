"""Why something failed, in one line that names the thing at fault, and what to type next: for terminal, page and alert alike.

    an error, or what the orchestrator says of a run that ended -> Cause

The first rule that knows the failure tells it; what none knows is told in the error's own words.
"""

import errno
import re
from collections.abc import Iterator

from core.causes_rules import RULES, Cause, Seen, worded

__all__ = ["Cause", "cause_of"]

PLAIN = ("ValueError", "RuntimeError", "OSError")  # their messages say it all without the name of the type
SAID = re.compile(r"(?:Flow|Task) run encountered an exception(?: [\w ]+)?[:.] *(?:(\w+): )?", re.IGNORECASE)


def cause_of(error: BaseException | str, *, flow: str = "", data_dir: object = "", full: bool = False) -> Cause:
    """The cause of a failure; without a command where no rule knows it.

    `full` says that no room is left under `data_dir`: a server's log does not always say why it ended.
    """
    seen = seen_in(error, flow) if isinstance(error, BaseException) else said(error, flow)
    if (seen.no_space is None and full and "ServiceError" in seen.types) or seen.no_space == "":
        seen = seen._replace(no_space=str(data_dir))
    found = next((cause for rule in RULES if (cause := rule(seen))), None)
    if found is None:
        plain = not seen.types or seen.types & set(PLAIN)
        name = "" if plain or not isinstance(error, BaseException) else f"{type(error).__name__}: "
        found = Cause(f"{name}{worded(seen.text)}")
    return found._replace(line=" ".join(found.line.split()))


def seen_in(error: BaseException, flow: str = "") -> Seen:
    """What an error and those that led to it say."""
    while error.__cause__ is not None and not str(error):
        error = error.__cause__
    full = next((one for one in chain(error) if of_full_disk(one)), None)
    where = None
    if full is not None:
        where = str(getattr(full, "filename", None) or "")
    names = frozenset(kind.__name__ for kind in type(error).__mro__)
    file, why = getattr(error, "filename", None), getattr(error, "strerror", None)
    text = str(error) or type(error).__name__
    return Seen(text, names, flow, str(file) if file and why else "", str(why or ""), where)


def said(text: str, flow: str = "") -> Seen:
    """What the message of a state says."""
    found = SAID.match(text)
    kind = {found[1]} if found and found[1] else set()
    if found:
        text = text[found.end() :]
    elif named := re.match(r"(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Failed|Held)): ", text):
        kind, text = {named[1]}, text[named.end() :]
    where = "" if "o space left on device" in text or "disk is full" in text else None
    return Seen(text, frozenset(kind), flow, no_space=where)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def of_full_disk(error: BaseException) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "disk is full" in str(error) or "o space left on device" in str(error)
