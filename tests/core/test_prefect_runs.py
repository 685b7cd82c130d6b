"""What the orchestrator's server is asked, and what may be expected of it."""

from typing import Any

import pytest

from core.prefect_runs import regular


@pytest.mark.parametrize(
    ("schedule", "so"),
    [
        ({"cron": "5 * * * *"}, True),
        ({"cron": "@daily"}, True),
        ({"cron": "0 0 31 * *"}, True),
        ({"cron": "0 0 1 7 *"}, False),
        ({"cron": "@yearly"}, False),
        ({"interval": 3600.0, "anchor_date": "2026-01-05T00:00:00Z"}, True),
        ({"interval": 200 * 86_400.0}, False),
        ({"rrule": "FREQ=DAILY;COUNT=1"}, False),
    ],
)
def test_a_run_ahead_is_expected_only_of_schedules_that_the_server_looks_far_enough_ahead_for(schedule: dict[str, Any], so: bool):
    assert regular(schedule) is so
