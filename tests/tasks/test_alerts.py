"""Alerts reach their channels once, over all processes, and a channel that is down never hurts the run."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from core import settings
from core.alerts import Alert
from tasks.alerts import tell

ALERT = Alert(kind="failed", key="failed:ingest:source:/x", line="ingest failed: no folder /x", next="ls -l /", flow="ingest", run_id="r")
CHILD = """
import sys
from pathlib import Path
from core import settings
from core.alerts import Alert
from tasks.alerts import tell

config = settings.Settings(data_dir=Path(sys.argv[1]))
for n in range(20):
    tell([Alert(kind="failed", key=f"k{n}", line=f"line {n}")], config)
"""


class Webhook(HTTPServer):
    """Keeps what is posted to it, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.got: list[dict] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/s3cret"


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Webhook)
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("scalp"), "propagate", True)  # a verb of the command line may have taken its lines for itself


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def config(data: Path, **alerts: object) -> settings.Settings:
    return settings.Settings(data_dir=data, alerts=settings.ops_settings.Alerts(**alerts))  # pyright: ignore[reportArgumentType]


def lines(data: Path) -> list[dict]:
    return [json.loads(line) for line in (data / "alerts.jsonl").read_text().splitlines()]


def test_an_alert_stands_in_log_file_and_webhook_with_what_to_do_and_where_to_read(
    tmp_path: Path, webhook: Webhook, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, "scalp"):
        tell([ALERT], config(tmp_path, webhook_url=webhook.url))
    (kept,), (posted,) = lines(tmp_path), webhook.got
    assert kept == posted
    assert (kept["line"], kept["next"], kept["runbook"]) == (ALERT.line, "ls -l /", "docs/runbook.md#a-run-failed")
    assert "no folder /x" in caplog.text
    assert "a-run-failed" in caplog.text
    assert "s3cret" not in caplog.text


def test_the_same_trouble_is_told_again_only_after_so_long(tmp_path: Path):
    assert len(tell([ALERT, ALERT], config(tmp_path))) == 1
    assert tell([ALERT], config(tmp_path)) == []
    assert len(tell([ALERT], config(tmp_path, repeat_s=0))) == 1
    assert len(lines(tmp_path)) == 2


def test_two_processes_tell_it_once(tmp_path: Path):
    children = [subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert sorted(line["key"] for line in lines(tmp_path)) == sorted(f"k{n}" for n in range(20))


@pytest.mark.parametrize("status", [500, None], ids=["answers with an error", "is not there"])
def test_a_webhook_that_is_down_is_a_line_in_the_log(
    tmp_path: Path, webhook: Webhook, status: int | None, caplog: pytest.LogCaptureFixture
):
    webhook.status = status or 200
    url = webhook.url if status else "http://127.0.0.1:9/hook/s3cret"
    with caplog.at_level(logging.WARNING, "scalp"):
        assert tell([ALERT], config(tmp_path, webhook_url=url)) != []
    assert len(lines(tmp_path)) == 1
    assert "the webhook" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_file_that_cannot_be_written_does_not_keep_the_others_from_being_told(tmp_path: Path, webhook: Webhook):
    (tmp_path / "alerts.jsonl").mkdir()
    tell([ALERT], config(tmp_path, webhook_url=webhook.url))
    assert len(webhook.got) == 1
