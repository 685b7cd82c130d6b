"""How long the parts of a step take can be known, and nothing depends on it."""

from itertools import count

from kernels import engine
from kernels.engine_laps import PARTS
from kernels.frames_live import Live
from tests.kernels.engine_market import Session, plan, shown


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


def test_all_that_steps_need_is_compiled_ahead():
    """A second signature would compile while orders wait."""
    from kernels import live_market_rows, live_seconds_close

    given = plan(strategy="restless")
    engine.compile_all(given)
    known = [
        len(of.signatures) for of in (live_market_rows.run, live_market_rows.differ, live_market_rows.restart, live_seconds_close.close)
    ]
    Session(given).open().run(5)
    assert [
        len(of.signatures) for of in (live_market_rows.run, live_market_rows.differ, live_market_rows.restart, live_seconds_close.close)
    ] == known
