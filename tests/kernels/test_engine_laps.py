"""How long the parts of a step take can be known, and nothing depends on it."""

import subprocess
import sys
from itertools import count
from pathlib import Path

from kernels import engine
from kernels.engine_laps import PARTS
from kernels.frames_live import Live
from tests.kernels.engine_market import Session, plan, shown

ROOT = Path(__file__).resolve().parents[2]


def test_an_engine_that_is_timed_decides_the_same():
    given = plan(strategy="restless")
    session = Session(given).open().run(70)
    assert session.decisions
    ticks = count()
    state, live, made, told = engine.init(given, session.inputs[0].ts), Live(engine.scales(given)), [], set()  # pyright: ignore[reportAttributeAccessIssue]
    laps = engine.timed(state, lambda: next(ticks))
    for one in session.inputs:
        made += engine.step(state, live.decode(one[1], one[0]) if isinstance(one, tuple) else one, given)
        told |= {name for name, ns in laps.taken() if ns > 0}
    assert shown(made) == shown(session.decisions)
    assert told == set(PARTS)
    assert not list(laps.taken()), "what was taken begins again at 0"


ALONE = """
import gc
from numba.core.dispatcher import Dispatcher
from kernels import engine
from tests.kernels.engine_market import Session, plan

def forms():
    own = [of for of in gc.get_objects() if isinstance(of, Dispatcher) and of.py_func.__module__.startswith("kernels.")]
    venue = ("kernels.fills", "kernels.matching")
    return {of.py_func.__qualname__: len(of.signatures) for of in own if not of.py_func.__module__.startswith(venue)}

given = plan(strategy="restless")
engine.compile_all(given)
known = forms()
Session(given).open().run(5)
print(sorted(name for name, n in forms().items() if n != known.get(name)))
"""


def test_all_that_steps_need_is_compiled_ahead():
    """A form more would compile while orders wait. In a process of its own: here other tests have compiled them already."""
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
