"""What `scalp live` sends its orders to: an exchange, or the account on paper that is the default wherever orders would cost money."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.settings import Settings
    from serving.exchange import Exchange

LOCAL = "local"
PAPER = "paper-"  # accounts on paper begin with it


def on_paper(config: "Settings") -> bool:
    """Whether orders go into an account in this process. The local venue is on paper by itself."""
    return config.exchange.name != LOCAL and not config.live


def account_name(config: "Settings") -> str:
    """Of an exchange; what is on paper has an account of its own."""
    return f"{PAPER if on_paper(config) else ''}{config.exchange.name}/main"


def traded(config: "Settings", kind: Any, account: str) -> "Exchange":
    """The exchange to trade on, not opened. Raises `ExchangeError` for a name that there is not."""
    from serving import adapters
    from serving.paper import Paper
    from serving.paper_account import Terms

    local = config.exchange.name == LOCAL
    source = adapters.made(config.exchange, kind=kind, venue=LOCAL if local else "", mute_s=config.stream.mute_s)
    if not on_paper(config):
        return source
    terms = Terms(**config.paper.model_dump())
    return Paper(source, terms, time.time_ns, lambda: past(config, account))


def past(config: "Settings", account: str) -> Any:
    """What the ledger has of an account on paper. Raises `LedgerError`."""
    from core import ledger_reader
    from core.ledger import Ledger, url_of
    from serving.paper_account import Past

    with Ledger(url_of(config.data_dir, config.ledger.url)) as ledger, ledger.read() as connection:
        orders = [order for order, _ in ledger_reader.open_orders(connection, account)]
        return Past(ledger_reader.fills(connection, account), orders)
