"""`scalp live --venue local` is one command: it trades a recording in paper, tells what it does, and stops in order."""

import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.replay import replay

pytestmark = [pytest.mark.server, pytest.mark.recordings]

CONFIG = """
[rule]
sma_fast = 3
sma_slow = 8
ema_fast = 3
ema_slow = 6
ema_signal = 3
rsi = 5
volume_ratio = 0.3
volume_window = 5
[strategy.params]
enter = 0.0
leave = 0.0
cooldown_s = 0.2
hold_s = 3.0
stop_bps = 3.0
take_profit_bps = 1.0
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "scalp.toml").write_text(CONFIG)
    given = {name: value for name, value in os.environ.items() if not name.startswith("SCALP_")}
    return given | {"SCALP_CONFIG": str(tmp_path / "scalp.toml"), "SCALP_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "300"}


def scalp(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from scalp.main import app; app()", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def started(env: dict[str, str], *words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", "from scalp.main import app; app()", *words]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def until(process: "subprocess.Popen[str]", found: str) -> str:
    """What it printed up to a line that matches."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(found, line):
            return "".join(lines)
    raise AssertionError(f"no {found!r} in:\n{''.join(lines)}")


def test_it_trades_a_recording_tells_each_fill_and_stops_in_order(env: dict[str, str], shared: Path, tmp_path: Path) -> None:
    source = str(shared / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz")
    with started(env, "live", "--venue", "local", "--source", source, "--speed", "8") as process:
        said = until(process, r"fill +(buy|sell) ")
        assert "paper" in said and "stream ws://" in said and "the indicator rule trades alone" in said
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0, rest
        assert "orders are cancelled" in rest and "journal" in rest
    data = tmp_path / "data"
    (folder,) = (data / "sessions").iterdir()
    assert {path.suffix for path in folder.iterdir()} == {".json", ".gz"}, "all is packed"
    again = replay(folder)
    assert again.equal and again.n_orders > 0
    with sqlite3.connect(data / "ledger.db") as ledger:
        statuses = {status for (status,) in ledger.execute("select distinct status from orders")}
        assert ledger.execute("select count(*) from fills").fetchone()[0] > 0
    assert statuses <= {"filled", "cancelled", "rejected", "expired", "refused"}


def test_after_a_kill_the_next_start_packs_what_is_left_and_takes_over(env: dict[str, str], shared: Path, tmp_path: Path) -> None:
    source = str(shared / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz")
    with started(env, "venue", "--from", source, "--speed", "4", "--json") as venue:
        assert venue.stdout is not None
        at = json.loads(venue.stdout.readline())["urls"]
        env |= {"SCALP_EXCHANGE__REST_URL": at["rest"], "SCALP_EXCHANGE__WS_URL": at["ws"], "SCALP_LEDGER__LEASE_S": "2"}
        with started(env, "live", "--venue", "local") as first:
            until(first, "API http")
            second = scalp(env, "live", "--venue", "local", "--minutes", "0.05")
            assert second.returncode == 3 and "is traded by" in second.stderr
            until(first, "status")
            first.kill()
        with started(env, "live", "--venue", "local", "--minutes", "0.05") as third:
            said = third.communicate(timeout=60)[0]
            if third.returncode == 3:  # the lease of the dead one has to run out first
                third_again = scalp(env, "live", "--venue", "local", "--minutes", "0.05")
                said, code = third_again.stdout, third_again.returncode
            else:
                code = third.returncode
        assert code == 0 and "packed" in said and "epoch 2" in said
    sessions = sorted((tmp_path / "data" / "sessions").iterdir())
    assert len(sessions) == 2 and not list((tmp_path / "data" / "sessions").glob("*/*.log"))


def test_a_kill_switch_that_is_on_stays_on_with_the_next_simulator(env: dict[str, str], shared: Path, tmp_path: Path) -> None:
    source = str(shared / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz")
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "KILL"
    file.write_text("enough for today")
    done = scalp(env, "live", "--venue", "local", "--source", source, "--speed", "8", "--minutes", "0.05")
    assert done.returncode == 0 and "enough for today" in done.stdout
    file.unlink()
    again = scalp(env, "live", "--venue", "local", "--source", source, "--speed", "8", "--minutes", "0.4")
    assert again.returncode == 0 and "the kill switch is on" in again.stdout and "0 orders, 0 fills" in again.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["SCALP_LIVE=true", "live", "--venue", "binance-usdm"], 3, "SCALP_EXCHANGE__CONFIRM"),
        (["live", "--venue", "binance-usdm", "--speed", "2"], 2, "local venue"),
        (["live", "--venue", "local", "--source", "nowhere.gz"], 2, "nowhere.gz is not there"),
        (["live", "--venue", "bourse"], 1, "no exchange 'bourse'"),
        (["record", "--venue", "bourse"], 1, "no exchange 'bourse'"),
    ],
    ids=["live without the second key", "speed of a real market", "no such recording", "no such exchange", "nothing to record"],
)
def test_what_cannot_be_done_is_told_in_one_line(env: dict[str, str], words: list[str], code: int, says: str) -> None:
    given = [word for word in words if "=" in word]
    done = scalp(env | dict(word.split("=") for word in given), *[word for word in words if word not in given])
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr


def test_recording_keeps_every_frame_and_a_snapshot(env: dict[str, str], shared: Path, tmp_path: Path) -> None:
    source = str(shared / "data" / "hftbacktest" / "spot" / "btcusdt_20240808.gz")
    done = scalp(env, "record", "--venue", "local", "--source", source, "--speed", "4", "--minutes", "0.08")
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "data" / "sessions").glob("*/frames-*.gz")
    lines = gzip.decompress(file.read_bytes()).splitlines()
    assert len(lines) > 100 and sum(b'"lastUpdateId"' in line for line in lines) == 1
    assert all(line.partition(b" ")[0].isdigit() for line in lines)
