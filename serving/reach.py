"""How to reach the venue that an account trades on, for whoever has to cancel its orders without the worker: written down at each start.

<data_dir>/accounts/<account>.json -> Reach -> an `Exchange`; keys are not in it
"""

import os
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from pydantic import SecretStr

from core import live_settings
from serving.exchange import Exchange

FOLDER = "accounts"


class Reach(Struct, frozen=True, kw_only=True):
    """`name`, `rest_url`, ...: as in the settings' section exchange. `kind`: what the local venue is."""

    account: str
    name: str
    kind: Literal["spot", "usdm"] = "usdm"
    rest_url: str = ""
    ws_url: str = ""
    ws_api_url: str = ""
    symbols: tuple[str, ...] = ()
    paper: bool = False  # the account is in the worker's process, and ends with it: nothing of it stands elsewhere


def path_of(data_dir: Path, account: str) -> Path:
    return data_dir / FOLDER / f"{account.replace('/', '_')}.json"


def write(data_dir: Path, reach: Reach) -> None:
    """Whole or not at all: it is read when things have gone wrong."""
    path = path_of(data_dir, reach.account)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    aside.write_bytes(msgspec.json.encode(reach))
    aside.replace(path)


def read(data_dir: Path, account: str) -> Reach | None:
    """None where no worker of this data folder ever had the account."""
    try:
        return msgspec.json.decode(path_of(data_dir, account).read_bytes(), type=Reach)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def all_of(data_dir: Path) -> list[Reach]:
    """Of every account that workers of this data folder had."""
    folder = data_dir / FOLDER
    return [msgspec.json.decode(path.read_bytes(), type=Reach) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []


def exchange_of(reach: Reach, key: str, secret: str, *, timeout_s: float = 2.0) -> Exchange:
    """Not connected before its `open`. Raises `ExchangeError` for a name that there is not."""
    from serving import adapters

    settings = live_settings.Exchange(
        name=reach.name, symbols=reach.symbols, api_key=SecretStr(key), api_secret=SecretStr(secret), rest_url=reach.rest_url,
        ws_url=reach.ws_url, ws_api_url=reach.ws_api_url, answer_timeout_s=timeout_s,
    )  # fmt: skip
    made = adapters.made(settings, kind=reach.kind, venue="local" if reach.name == "local" else "")
    if not reach.paper:
        return made
    from serving.paper import Paper  # a simulator: the guard of an account that is none does without
    from serving.paper_account import Terms

    return Paper(made, Terms(), time.time_ns)
