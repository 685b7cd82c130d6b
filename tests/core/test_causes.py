"""A failure is told in one line that names the thing at fault, and a command comes with it."""

import errno

import pytest
import typer
import yaml

from core.causes import cause_of
from core.causes_rules import again, verb
from core.machine import ROOT
from core.services import ServiceError
from core.store_errors import StoreError
from scalp.main import app

DELETE = "delete /d/lake/clean_market__trades/venue=v/symbol=S/day=2026-01-05/part.parquet and run again"
TORN = f"clean_market__trades v/S 2026-01-05: unreadable (not a Parquet file); {DELETE}"
LOG = "triton ended with exit code 1 before it was ready.\nThe end of its log (/d/triton.log):\n| Socket '127.0.0.1:8001' already in use"
MISSING = "clean_market__quotes v/S 2026-01-05: missing; ingest the day first"
REFUSED = "Flow run encountered an exception: ConnectError: [Errno 111] Connection refused to 127.0.0.1:4200"
WRONG = "Validation failed. Flow run received invalid parameters:\n - start: Input should be a valid date"
GATE = "model 3f2a9c01b7de was not taken at the step 'latency': p99 of a batch-1 request is 9 ms, over the limit of 1 ms; version 1 goes on"
NO_SPACE = OSError(errno.ENOSPC, "No space left on device", "/d/lake/x.partial")


@pytest.mark.parametrize(
    ("error", "kind", "fault", "command"),
    [
        (FileNotFoundError("no folder /x/recorded: recordings lie there"), "source", "/x/recorded", "ls -l /x"),
        (StoreError(TORN), "partition", "clean_market__trades v/S 2026-01-05", "rm /d/lake"),
        (StoreError(MISSING), "partition", "clean_market__quotes", "scalp backfill ingest --venue v --symbol S --from 2026-01-05"),
        (ValueError("/x/a.parquet: there is no column qty (mapping 'standx')"), "schema", "/x/a.parquet", "scalp ingest"),
        (ServiceError(LOG), "triton", "127.0.0.1:8001", "tail -50 /d/triton.log"),
        (ServiceError("triton was not ready after 2 s.\nThere is no log at /d/logs/triton.log."), "timeout", "triton", "triton.log"),
        (RuntimeError(GATE), "gate", "model 3f2a9c01b7de at the step latency", "scalp deploy 3f2a9c01b7de"),
        (NO_SPACE, "disk", "the disk", "scalp maintain"),
        ("Flow run exceeded timeout of 2.0 second(s)", "timeout", "flow ingest", "scalp doctor"),
        ("Flow run process exited with non-zero exit code -9.", "killed", "the worker's process", "dmesg"),
        ("no heartbeat for 90 s", "killed", "the worker", "scalp status"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/a.gz"), "rights", "/x/a.gz", "ls -l /x/a.gz"),
        (REFUSED, "connection", "127.0.0.1:4200", "scalp status"),
        (WRONG, "parameter", "start", "scalp ingest --help"),
    ],
)  # fmt: skip
def test_the_line_names_the_thing_at_fault_and_what_to_type(error: BaseException | str, kind: str, fault: str, command: str):
    found = cause_of(error, flow="ingest", data_dir="/d")
    assert found.kind == kind
    assert fault in found.fault
    assert command in found.next
    assert "\n" not in found.line and found.line


def test_a_server_that_died_for_want_of_room_is_told_as_a_full_disk():
    error = ServiceError("prefect ended with exit code 1 before it was ready.\nIts log is empty")
    assert cause_of(error, data_dir="/d", full=True).kind == "disk"
    assert cause_of(error, data_dir="/d").kind == "prefect"


def test_what_a_servers_log_says_of_other_processes_is_not_what_ended_the_run():
    error = ServiceError("prefect ended with exit code 1 before it was ready.\nThe end of its log (/d/p.log):\n| process 12: exit status 3")
    assert cause_of(error, flow="ingest").kind == "prefect"


def test_what_no_rule_knows_is_told_in_its_own_words():
    assert cause_of(KeyError("price")).line == "KeyError: 'price'"
    assert cause_of(ValueError("heads (3) must divide it")).line == "heads (3) must divide it"
    assert cause_of("Flow run could not be submitted:\nNo module named x").line == "Flow run could not be submitted: No module named x"


def test_the_command_of_every_flow_is_one_that_there_is():
    verbs = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    flows = [one["name"] for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]]
    for flow in (*flows, ""):
        assert verb(flow).removeprefix("scalp ") in verbs
        assert again(flow).split()[1] in verbs
    assert "--help" in again("backfill")  # it does not run without days
