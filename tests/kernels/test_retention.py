"""What goes is old; what stays, and what that needs, does not go unsaid."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.retention import EMPTIED, PARTS, Fate, Item, Policy, fates

KINDS = ("raw", "clean", "features")
BELOW = {"clean": "raw", "features": "clean"}


@st.composite
def folders(draw: st.DrawFn) -> list[Item]:
    """A data folder: layers of parts, each made of some of the layer below, and models made of features."""
    made: list[Item] = []
    for kind in KINDS:
        below = [item.name for item in made if item.kind == BELOW.get(kind)]
        for n in range(draw(st.integers(0, 5))):
            needs = draw(st.lists(st.sampled_from(below), unique=True)) if below else []
            made.append(Item(kind, f"{kind}{n}", draw(st.floats(0, 20)), needs=tuple(needs)))
    features = [item.name for item in made if item.kind == "features"]
    for n in range(draw(st.integers(0, 5))):
        needs = draw(st.lists(st.sampled_from(features), unique=True)) if features else []
        keep = draw(st.sampled_from(["", "", "it serves as champion"]))
        made.append(Item("models", f"model{n}", draw(st.floats(0, 20)), needs=tuple(needs), keep=keep))
    made += [
        Item("runs", f"run{n}", draw(st.floats(0, 20)), keep=draw(st.sampled_from(["", "it is at work"])))
        for n in range(draw(st.integers(0, 3)))
    ]
    return made


policies = st.builds(
    Policy,
    st.dictionaries(st.sampled_from([*KINDS, "runs"]), st.integers(0, 15)),
    st.integers(0, 4),
    st.booleans(),
)


def gone(found: list[Fate]) -> set[str]:
    return {fate.item.name for fate in found if fate.goes}


@given(folders(), policies)
@settings(max_examples=150, deadline=None)
def test_what_goes_is_too_old_and_nothing_holds_it(there: list[Item], policy: Policy):
    models = sorted((i for i in there if i.kind == "models"), key=lambda i: (i.age_days, i.name))
    for fate in fates(there, policy):
        if fate.goes:
            assert not fate.item.keep
            if fate.item.kind == "models":
                assert fate.item in models[policy.model_versions :] and policy.model_versions
            else:
                assert fate.item.age_days > policy.days[fate.item.kind] > 0
        assert fate.why


@given(folders(), policies)
@settings(max_examples=150, deadline=None)
def test_what_a_kept_model_was_made_of_goes_only_when_asked_and_said(there: list[Item], policy: Policy):
    found = fates(there, policy)
    left = gone(found)
    by_name = {item.name: item for item in there}
    why = {fate.item.name: fate.why for fate in found}
    for model in (item for item in there if item.kind == "models" and item.name not in left):
        queue, seen = list(model.needs), set()
        while queue:
            name = queue.pop()
            if name in seen:
                continue
            seen.add(name)
            queue += by_name[name].needs
        for name in seen & left:
            assert policy.even_needed and "was made of it" in why[name]


@given(folders(), policies)
@settings(max_examples=150, deadline=None)
def test_a_part_that_stays_keeps_all_it_reads_or_none(there: list[Item], policy: Policy):
    left = gone(fates(there, policy))
    kinds = {item.name: item.kind for item in there}
    for item in there:
        if item.kind in PARTS and item.name not in left:
            read = [name for name in item.needs if kinds[name] not in EMPTIED]
            assert len({name in left for name in read}) <= 1


@given(folders(), policies)
def test_without_a_policy_nothing_goes(there: list[Item], policy: Policy):
    assert fates(there, Policy({}, 0, policy.even_needed)) == []
