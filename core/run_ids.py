"""Which run is meant: its id, a few letters of it, `latest`, or `latest~1` for the one before that."""

import difflib
import re
from collections.abc import Sequence

LATEST = re.compile(r"latest(?:~(\d+))?")


class UnknownRun(LookupError):
    """No run, or more than one, is called so; the message offers those that come near."""


def meant(asked: str, there: Sequence[str]) -> str:
    """The id among `there` (newest first) that `asked` means: all of it, its beginning or its end. Raises `UnknownRun`."""
    if not there:
        raise UnknownRun("there are no runs yet; scalp run makes one")
    if back := LATEST.fullmatch(asked):
        n = int(back[1] or 0)
        if n >= len(there):
            raise UnknownRun(f"there is no {asked}: there are {len(there)} runs")
        return there[n]
    if asked in there:
        return asked
    found = [one for one in there if asked and (one.startswith(asked) or one.endswith(asked))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownRun(f"{asked!r} may be {', '.join(found[:5])}" + (f" or {len(found) - 5} more" if len(found) > 5 else ""))
    near = difflib.get_close_matches(asked, there, n=3, cutoff=0.4) or list(there[:3])
    raise UnknownRun(f"there is no run {asked!r}; did you mean {', '.join(near)}?")
