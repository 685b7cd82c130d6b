"""The parts of `scalp up`, without starting them."""

from pathlib import Path

from core import settings
from core.serving_record import record_path
from scalp.up_parts import no_triton


def test_a_torn_serving_record_is_a_reason_to_leave_triton_out_and_not_the_end_of_the_stack(tmp_path: Path):
    path = record_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text('{"model_name')
    reason = no_triton(settings.Settings(data_dir=tmp_path))
    assert reason and str(path) in reason
