"""What the orchestrator's server does by itself: a run that died without a word becomes Crashed.

A flow sends a heartbeat every `heartbeat_s`. Where flow and worker are both killed nobody tells of the end, and the run would be
Running for ever. `tasks.watch` hears of the change and alerts.
"""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture

from core import settings

NAME = "scalp: runs without a heartbeat have crashed"
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Cancelling", "Crashed", "TimedOut", "Suspended")}


def zombies(within_s: float) -> AutomationCore:
    """The automation that ends runs of which nothing was heard for so long."""
    return AutomationCore(
        name=NAME,
        description="A run of which nothing was heard for so long has died with its worker.",
        trigger=EventTrigger(
            after={HEARTBEAT},
            expect={HEARTBEAT, *ENDS},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},  # pyright: ignore[reportArgumentType]
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=within_s),
        ),
        actions=[ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=f"no heartbeat for {within_s:g} s", force=False)],
    )


def ensure() -> None:
    """Have the server know them, as the settings are now. Safe to repeat."""
    wanted = zombies(settings.load().alerts.zombie_s)
    with get_client(sync_client=True) as client:
        there = client.read_automations_by_name(NAME)
        for extra in there[1:]:
            client.delete_automation(extra.id)
        put(client, wanted, there[0] if there else None)


def put(client: SyncPrefectClient, wanted: AutomationCore, there: Automation | None) -> None:
    if there is None:
        client.create_automation(wanted)
    elif (there.trigger, there.actions) != (wanted.trigger, wanted.actions):
        client.update_automation(there.id, wanted)
