"""Two runs side by side: only what differs of their code, parameters, settings, inputs, outputs and metrics."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from core.run_records import RunRecord


class Difference(NamedTuple):
    """One thing that is not the same; None where a run does not have it."""

    what: str
    a: Any
    b: Any


def differences(a: RunRecord, b: RunRecord) -> dict[str, list[Difference]]:
    """What differs, by kind; kinds in which nothing differs are left out."""
    of = {
        "run": differing(once(a), once(b)),
        "parameters": differing(a.parameters, b.parameters),
        "settings": differing(a.settings, b.settings),
        "read": differing({r.part: r.content for r in a.read}, {r.part: r.content for r in b.read}),
        "wrote": differing({r.part: r.content for r in a.wrote}, {r.part: r.content for r in b.wrote}),
        "metrics": differing(a.metrics, b.metrics),
    }
    return {kind: found for kind, found in of.items() if found}


def once(record: RunRecord) -> dict[str, Any]:
    """What a run has one of."""
    told = {"flow": record.flow, "state": record.state, "cause": record.cause, "code": record.code, "versions": record.versions}
    return {name: value for name, value in told.items() if value}


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    names = list(dict.fromkeys([*a, *b]))
    return [Difference(name, a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)]
