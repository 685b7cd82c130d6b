"""What has to go: by age and number, and never what something that stays still needs without saying so.

items (with what each is made of), policy -> a fate for each item that is old, and why

A raw or quarantined part is emptied, not deleted: its footer stays, so that nothing made from it becomes stale. Any other part that goes
is missing where it was read; so a part of which others are made together with parts that stay is held back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

EMPTIED = frozenset({"raw", "quarantine"})
PARTS = EMPTIED | {"clean", "features"}
MODEL = "models"


class Item(NamedTuple):
    """Something that is kept somewhere. `parts` are the names that lineages call it by, `needs` the names it was made of."""

    kind: str  # runs, prefect, models, raw, clean, features, quarantine, sessions, logs
    name: str
    age_days: float
    n_bytes: int = 0
    parts: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    keep: str = ""  # why it has to stay whatever its age


class Policy(NamedTuple):
    """`days` by kind; 0, or a kind that is not there, is for ever. `even_needed`: also what a kept model was made of."""

    days: Mapping[str, int]
    model_versions: int = 0
    even_needed: bool = False


class Fate(NamedTuple):
    item: Item
    goes: bool
    why: str


def fates(items: Sequence[Item], policy: Policy) -> list[Fate]:
    """What becomes of each item that is too old, or one too many; what is neither stays untold."""
    old = dict(too_old(items, policy))
    held = {i: items[i].keep for i in old if items[i].keep}
    going = set(old) - set(held)

    owner = {part: i for i, item in enumerate(items) for part in (item.parts or (item.name,)) if item.kind in PARTS}
    needed = needed_by_models(items, owner, [i for i, item in enumerate(items) if item.kind == MODEL and i not in going])
    for i in sorted(going & needed.keys()):
        if not policy.even_needed:
            held[i] = f"model {needed[i]} was made of it"
            going.discard(i)
    while cut := halves(items, owner, going):
        held |= cut
        going -= cut.keys()

    told = []
    for i, why in sorted(old.items()):
        if i in held:
            told.append(Fate(items[i], False, f"{why}, but {held[i]}"))
        else:
            lost = f"; model {needed[i]} was made of it and can then not be made again" if i in needed else ""
            told.append(Fate(items[i], True, f"{why}{lost}"))
    return told


def too_old(items: Sequence[Item], policy: Policy) -> Iterable[tuple[int, str]]:
    models = sorted((i for i, item in enumerate(items) if item.kind == MODEL), key=lambda i: (items[i].age_days, items[i].name))
    if policy.model_versions:
        for i in models[policy.model_versions :]:
            yield i, f"older than the newest {policy.model_versions} models"
    for i, item in enumerate(items):
        days = policy.days.get(item.kind, 0)
        if item.kind != MODEL and days and item.age_days > days:
            yield i, f"older than {days} days"


def needed_by_models(items: Sequence[Item], owner: Mapping[str, int], models: Iterable[int]) -> dict[int, str]:
    """Item -> the model that stays and was made of it, over any number of steps."""
    found: dict[int, str] = {}
    for model in models:
        queue = [owner[name] for name in items[model].needs if name in owner]
        while queue:
            i = queue.pop()
            if i not in found:
                found[i] = items[model].name
                queue += [owner[name] for name in items[i].needs if name in owner]
    return found


def halves(items: Sequence[Item], owner: Mapping[str, int], going: set[int]) -> dict[int, str]:
    """Going items of which a part that stays is made together with parts that stay: without them it would be made again, otherwise."""
    held: dict[int, str] = {}
    for i, item in enumerate(items):
        if item.kind not in PARTS or i in going:
            continue
        inputs = {owner[name] for name in item.needs if name in owner and owner[name] != i}
        whole = {n for n in inputs if items[n].kind not in EMPTIED}
        if whole & going and whole - going:
            held |= dict.fromkeys(whole & going, f"{item.name} is made of it and of parts that stay")
    return held
