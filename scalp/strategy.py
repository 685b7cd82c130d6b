"""`scalp strategy`: writing a strategy of one's own."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from scalp.console import out
from scalp.failures import OK, UsageError, guarded

app = typer.Typer(help="Strategies: one file each.", no_args_is_help=True, rich_markup_mode="rich")

TEMPLATE = '''"""{title}: holds what the fused signal says, until it says otherwise or time is up.

`step` sees all symbols (`view.of(symbol)`) whenever one of them has a new signal (`view.changed`), and returns what to hold.
docs/strategies.md explains every field. Keep nothing outside the state, and ask no clock and no chance: then a replay is the session.
"""

from msgspec import Struct

from kernels.strategies import Target, View

NS = 1_000_000_000


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Set by SCALP_STRATEGY__PARAMS, for example '{{"enter": 0.3}}'."""

    enter: float = 0.2  # strength that opens
    hold_s: float = 30.0
    stop_bps: float = 15.0


class State(Struct, frozen=True):
    params: Params
    n_opened: int = 0


def init(params: Params, symbols: tuple[str, ...]) -> State:
    return State(params)


def step(state: State, view: View) -> tuple[State, list[Target]]:
    seen, params = view.of(view.changed), state.params
    if seen.position and seen.fused * seen.position < 0:
        return state, [Target(symbol=seen.symbol, size=0.0)]
    direction = seen.fused if seen.fresh and seen.strength >= params.enter else 0
    if seen.spot and direction < 0:
        direction = 0
    if seen.target or seen.position or not direction or seen.mid != seen.mid:  # nan: no quote
        return state, []
    wanted = Target(
        symbol=seen.symbol,
        size=direction * seen.strength * seen.cap / seen.mid,
        stop=seen.mid * (1 - direction * params.stop_bps * 1e-4),
        expires=view.ts + int(params.hold_s * NS),
    )
    return State(params, state.n_opened + 1), [wanted]
'''


@app.command(epilog="Example: scalp strategy new drift")
def new(
    name: Annotated[str, typer.Argument(help="Letters, digits and _; the file is NAME.py.")],
    folder: Annotated[Path, typer.Option("--to", help="Where to write it.")] = Path(),
) -> None:
    """Write a strategy that runs as it is."""

    def verb() -> int:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UsageError(f"{name!r} is no name for a file of Python: small letters, digits and _, a letter first")
        path = folder / f"{name}.py"
        if path.exists():
            raise UsageError(f"{path} exists; take another name")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.format(title=name.replace("_", " ").capitalize()))
        out.print(f"wrote {escape(str(path))}", soft_wrap=True)
        out.print(f"run it: SCALP_STRATEGY__NAME={escape(str(path.resolve()))} scalp live --venue local", soft_wrap=True)
        return OK

    raise typer.Exit(guarded(verb))
