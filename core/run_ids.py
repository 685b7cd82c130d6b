"""Which run is meant: its id, a few letters of it, `latest`, `failed`, a flow's name, or `train~1` for the train before the last."""

import difflib
import re
from collections.abc import Mapping, Sequence

LATEST = "latest"
BACK = re.compile(r"([a-z]+)(?:~(\d+))?")


class UnknownRun(LookupError):
    """No run, or more than one, is called so; the message offers those that come near."""


def meant(asked: str, there: Sequence[str], named: Mapping[str, Sequence[str]] | None = None) -> str:
    """The id among `there` (newest first) that `asked` means: all of it, its beginning or its end. Raises `UnknownRun`.

    `named` are the ids, newest first, that have a word in common: those of a flow, or those that failed.
    """
    if not there:
        raise UnknownRun("there are no runs yet; scalp run makes one")
    groups = {**(named or {}), LATEST: there}
    if (back := BACK.fullmatch(asked)) and (of := groups.get(back[1])) is not None:
        n = int(back[2] or 0)
        if not of:  # only of runs that failed may there be none
            raise UnknownRun(f"there is no run that {back[1]}")
        if n >= len(of):
            raise UnknownRun(f"there is no {asked}: there are {len(of)} runs" + ("" if back[1] == LATEST else f" of {back[1]}"))
        return of[n]
    if asked in there:
        return asked
    found = [one for one in there if asked and (one.startswith(asked) or one.endswith(asked))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownRun(f"{asked!r} may be {', '.join(found[:5])}" + (f" or {len(found) - 5} more" if len(found) > 5 else ""))
    near = difflib.get_close_matches(asked, there, n=3, cutoff=0.4) or list(there[:3])
    raise UnknownRun(f"there is no run {asked!r}; did you mean {', '.join(near)}?")
