"""How an account stands in the ledger, for the engine of the worker that takes it over."""

from collections.abc import Mapping

from sqlalchemy import Connection

from core import ledger_control, ledger_reader
from core.orders import Listing
from kernels.opening import Opening, opened


def opening_of(connection: Connection, account: str, listings: Mapping[str, Listing], capital: float) -> tuple[float, Opening | None]:
    """(capital to begin with, how the account stands); `capital` and None for one without history."""
    fills = ledger_reader.fills(connection, account)
    row = ledger_reader.latest_equity(connection, account)
    return opened(listings, fills, row, capital, ledger_control.rearmed_at(connection, account))
