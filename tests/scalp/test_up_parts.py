"""The parts of `scalp up`, without starting them."""

from pathlib import Path

import pytest

from core import settings
from core.serving_record import record_path
from core.stack import PartTold
from core.stack_parts import State
from scalp.session import ended
from scalp.up_parts import no_triton


def test_a_torn_serving_record_is_a_reason_to_leave_triton_out_and_not_the_end_of_the_stack(tmp_path: Path):
    path = record_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text('{"model_name')
    reason = no_triton(settings.Settings(data_dir=tmp_path))
    assert reason and str(path) in reason


@pytest.mark.parametrize(
    ("server", "so"),
    [
        (PartTold(state=State.HEALTHY), False),
        (PartTold(state=State.STOPPING, why="did not answer as it should for 120 s"), False),
        (PartTold(state=State.BACKING_OFF, why="ended with exit code 1"), False),
        (PartTold(state=State.STOPPING), True),
        (PartTold(state=State.DOWN, why="ended with exit code 1"), True),
    ],
)
def test_a_run_ends_with_its_server_only_where_that_does_not_come_back(server: PartTold, so: bool):
    assert ended(server) is so
