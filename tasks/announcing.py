"""What a flow lets others know when it has made something: events, by which `prefect.yaml` starts what comes after."""

from prefect.context import FlowRunContext
from prefect.events import emit_event

INGESTED = "scalp.ingest.done"
TRAINED = "scalp.train.done"


def announce(event: str, **payload: str) -> None:
    """Tell that something new is there; `payload` are words that a trigger may hand on as parameters.

    A stage of a larger run tells nobody: that run goes on with what was made by itself.
    """
    context = FlowRunContext.get()
    if context and context.flow_run and context.flow_run.parent_task_run_id:
        return
    emit_event(event, resource={"prefect.resource.id": event.rsplit(".", 1)[0]}, payload=payload)
