"""Whether a part is what would be made now: the one definition, for those who build and for those who plan.

    recipe (a part, the content of what it is made of, the parameters) -> fresh | missing | stale, and why

A builder that finds its recipe fresh does no work; a plan lists the parts whose recipe is not. Only footers are read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from core.parts import Lineage
from core.states import State
from core.tables import SCHEMA_VERSION

SHOWN = 3  # reasons in a sentence
AND = "; "  # between them


class Freshness(NamedTuple):
    state: State
    why: str = ""  # empty where it is fresh

    @property
    def fresh(self) -> bool:
        return self.state is State.FRESH


FRESH = Freshness(State.FRESH)


def freshness(found: Lineage | None, *, inputs: Mapping[str, str], params: Mapping[str, Any]) -> Freshness:
    """Of a part with this lineage (None: there is none), if it were made now from `inputs` by `params`."""
    if found is None:
        return Freshness(State.MISSING, "not there")
    if found.schema_version == SCHEMA_VERSION and found.inputs == dict(inputs) and found.params == plain(params):
        return FRESH
    reasons = [*_schema(found), *changed_inputs(found.inputs, inputs), *changed_params(found.params, params)]
    return Freshness(State.STALE, listed(reasons))


def joined(of: Mapping[str, Freshness]) -> Freshness:
    """Of several parts that are made together, by name: missing where none is there, fresh where all are."""
    wrong = {name: one for name, one in of.items() if not one.fresh}
    if not wrong:
        return FRESH
    if len(wrong) == len(of) and all(one.state is State.MISSING for one in wrong.values()):
        return Freshness(State.MISSING, "not there")
    gone = [name for name, one in wrong.items() if one.state is State.MISSING]
    reasons = [f"{', '.join(gone)} missing"] if gone else []
    reasons += [reason for one in wrong.values() if one.state is State.STALE for reason in one.why.split(AND)]
    return Freshness(State.MISSING if gone else State.STALE, listed(list(dict.fromkeys(reasons))))


def changed_inputs(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """What differs between two sets of inputs (name -> content), a sentence each. A raw piece made of other bytes has another name."""
    gone, new = ({_day(name) for name in of if name not in others} for of, others in ((before, now), (now, before)))
    changed = {name for name in before if now.get(name, before[name]) != before[name]} | (gone & new)
    for name in sorted(changed | gone | new):
        yield f"{name} {'changed' if name in changed else 'is new' if name in new else 'is gone'}"


def changed_params(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two sets of parameters as they are stored, a sentence each."""
    was, wanted = _flat(before), _flat(plain(now))
    for name in sorted({*was, *wanted}):
        if was.get(name) != wanted.get(name) or (name in was) != (name in wanted):
            yield f"{name} {was.get(name, '(not set)')} -> {wanted.get(name, '(not set)')}"


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a footer holds them."""
    return msgspec.json.decode(msgspec.json.encode(dict(params)))


def listed(reasons: list[str]) -> str:
    """The first few reasons as one sentence."""
    more = len(reasons) - SHOWN
    return AND.join(reasons[:SHOWN]) + (f"{AND}and {more} more" if more > 0 else "")


def _day(name: str) -> str:
    """The name of an input without its piece."""
    return " ".join(name.split(" ")[:3])


def _schema(found: Lineage) -> Iterator[str]:
    if found.schema_version != SCHEMA_VERSION:
        yield f"schema {found.schema_version} -> {SCHEMA_VERSION}"


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`section.key` -> value; an empty section is a value."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return flat
