"""Two at once: the second is told who holds the folder, or waits its turn; the dead hold nothing."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from core.holding import Held, holding, turn

CHILD = """
import pathlib, sys, time
from core.holding import holding

with holding(pathlib.Path(sys.argv[1]), "scalp run"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_holds_the_folder(tmp_path: Path):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout and child.stdout.readline() == "held\n"
        with pytest.raises(Held, match=rf"'scalp run' \(process {child.pid}, since .* UTC\)"), holding(tmp_path, "scalp train"):
            pass
    finally:
        child.kill()
        child.wait()
    with holding(tmp_path, "scalp run"):  # its holder was killed: free again
        assert (tmp_path / "run.holder.json").exists()
    assert not (tmp_path / "run.holder.json").exists()


def test_a_turn_comes_when_the_holder_ends_and_the_wait_says_whom_it_is_for(tmp_path: Path):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        child.kill()

    async def wait() -> None:
        async with turn(tmp_path, "flow ingest", wait_s=60, told=told):
            assert (tmp_path / "run.holder.json").exists()

    try:
        assert child.stdout and child.stdout.readline() == "held\n"
        asyncio.run(wait())
    finally:
        child.kill()
        child.wait()
    assert said[0].startswith(f"waiting for 'scalp run' (process {child.pid}, since ")


def test_a_wait_that_is_over_is_a_refusal(tmp_path: Path):
    async def wait() -> None:
        async with turn(tmp_path, "flow ingest", wait_s=0, told=print):
            raise AssertionError("it is held")

    with holding(tmp_path, "scalp run"), pytest.raises(Held, match="'scalp run'"):
        asyncio.run(wait())
