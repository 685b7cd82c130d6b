"""What happens when a flow's run ends badly: `@flow(..., **HOOKS)` on every flow."""

from typing import Any


def on_bad_end(flow: Any, flow_run: Any, state: Any) -> None:
    """A run failed, crashed or was cancelled."""


HOOKS: dict[str, Any] = {"on_failure": [on_bad_end], "on_crashed": [on_bad_end], "on_cancellation": [on_bad_end]}
