"""May a version be the champion, or must it watch as a shadow? The one place that decides."""

from typing import NamedTuple


class Decision(NamedTuple):
    alias: str  # champion or shadow
    reason: str


def decide(*, evidence: bool, verdict: str, generated: bool, champion: str | None, champion_generated: bool = False) -> Decision:
    """Champion only with positive after-cost evidence over the baselines; a champion that there is stays until then.

    `champion` names the version that is champion now, or None. One trained on the generated market never replaces one
    trained on a real market: its evidence is about another world.
    """
    of = ", trained on the generated market," if champion_generated and not generated else ""
    stays = f"; {champion}{of} stays champion" if champion else ""
    if not evidence:
        return Decision("shadow", f"served as shadow only, without evidence of profit after cost over the baselines ({verdict}){stays}")
    if generated and champion and not champion_generated:
        return Decision("shadow", f"served as shadow only: its evidence is from the generated market{stays}")
    where = ", on the generated market" if generated else ""
    return Decision("champion", f"positive after-cost evidence over the baselines ({verdict}){where}")
