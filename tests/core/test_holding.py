"""Two at once: the second is told who holds the folder; the dead hold nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.holding import Held, holding

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
