"""A worker whose ledger is PostgreSQL: it trades, one at a time, is killed for good, and finds its position again."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import ledger_control, ledger_reader
from core.ledger import Ledger, LedgerError
from tests.core.ledgers import postgres, postgres_binaries

from .conftest import Session

pytestmark = [pytest.mark.server, pytest.mark.recordings]
ACCOUNT = "local/postgresql"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    if postgres_binaries() is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with postgres(tmp_path) as found:
        yield found


def test_a_session_trades_holds_the_lease_and_stays_killed(session: Session, url: str) -> None:
    async def first() -> None:
        async with session(speed=8.0, trades=True, ledger_url=url, account=ACCOUNT) as trading:
            await trading.until(lambda: len(trading.venue.matching.my_trades("BTCUSDT")) > 1)
            with pytest.raises(LedgerError, match=f"{ACCOUNT} is traded by"):
                trading.launched.ledger.take(ACCOUNT, "elsewhere:1", time.time_ns(), 1.0)
            killed = await trading.execute({"action": "kill", "reason": "a drill"}, "kill")
            assert killed.json()["mode"] == "halted"
            await trading.until(lambda: not trading.venue.matching.open_orders(), 5)
            theirs = {
                trade.trade_id: (trade.side, trade.price, trade.size, trade.fee) for trade in trading.venue.matching.my_trades("BTCUSDT")
            }
            held = trading.venue.matching.positions()

            def ours() -> dict[int, tuple[object, ...]]:
                with trading.launched.ledger.read() as connection:
                    fills = ledger_reader.fills(connection, ACCOUNT)
                return {fill.trade_id: (fill.side, fill.price, fill.size, fill.fee) for fill in fills}

            await trading.until(lambda: ours() == theirs, 10)
            assert trading.launched.worker.state.position("BTCUSDT").size == sum(position.size for position in held)

    async def second() -> None:
        async with session(ledger_url=url, account=ACCOUNT) as trading:
            state = trading.launched.worker.state
            await trading.until(lambda: state.accounted)
            assert (trading.launched.lease.epoch, state.latched, state.mode.value) == (2, True, "halted")

    asyncio.run(first())
    with Ledger(url) as ledger, ledger.read() as connection:
        assert [(lease.account, lease.epoch) for lease in ledger_control.leases(connection)] == [(ACCOUNT, 1)]
        latch = ledger_control.latched(connection, ACCOUNT)
        assert latch is not None and "a drill" in latch["reason"]
    asyncio.run(second())
