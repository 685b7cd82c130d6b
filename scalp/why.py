"""`scalp why`: the way back from an order to its reasons."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.markup import escape

from scalp.console import out
from scalp.failures import FAILED, OK, UsageError, guarded

if TYPE_CHECKING:
    from core.orders import Listing
    from serving.why import Why

COLUMNS = 3  # of features


def why(
    order_id: Annotated[str, typer.Argument(help="The client order id, as orders, fills and refusals are told with: sc1-2z.")],
    *,
    around: Annotated[int, typer.Option(min=0, help="Inputs shown before and after the one that led to it.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Why an order was sent or refused: verdict of risk, signal, features, model, and the raw frames.

    \b
    scalp why sc1-2z
    """
    raise typer.Exit(guarded(lambda: tell(order_id, around, as_json)))


def tell(order_id: str, around: int, as_json: bool) -> int:
    """Returns the exit code. Raises `UsageError`, `SettingsError`, `OSError`."""
    from core import settings
    from core.ledger import Ledger, url_of
    from serving.launch import SESSIONS
    from serving.why import NoOrder, why

    config = settings.load()
    url = url_of(config.data_dir, config.ledger.url)
    if not config.ledger.url and not (config.data_dir / "ledger.db").exists():
        raise UsageError(f"{config.data_dir} has no ledger yet: scalp live makes one (or set SCALP_DATA_DIR to the folder that has it)")
    with Ledger(url) as ledger:
        try:
            found = why(ledger, config.data_dir / SESSIONS, order_id, around=around)
        except NoOrder as error:
            raise UsageError(str(error)) from error
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show(found)
    return OK if found.order or found.verdict else FAILED


def show(found: "Why") -> None:
    told = (found.order or {}) | {}
    verdict = found.verdict or {}
    out.print(f"[bold]{escape(found.order_id)}[/bold]  {escape(_order(told, found.listing))}", soft_wrap=True)
    for event in found.events:
        why = f": {event['reason']}" if event["reason"] else ""
        out.print(f"  {_time(event['ts'])}  {event['status']}, filled {_size(event['filled'], found.listing)}{escape(why)}", soft_wrap=True)
    for fill in found.fills:
        how = "maker" if fill["maker"] else "taker"
        price, size = _price(fill["price"], found.listing), _size(fill["size"], found.listing)
        fee = f"fee {fill['fee'] / 1e8:g} {escape(fill['fee_asset'])}"
        out.print(f"  {_time(fill['ts_event'])}  fill {fill['trade_id']}: {size} at {price}, {how}, {fee}", soft_wrap=True)
    if verdict:
        detail = f": {verdict['detail']}" if verdict["detail"] else ""
        out.print(
            f"[bold]risk[/bold]     {verdict['verdict']}{escape(detail)}  (input {verdict['seq']:,} at {_time(verdict['ts'])})",
            soft_wrap=True,
        )
    if signal := found.signal:
        opinions = f"rule {signal['rule']:+d} ({signal['rule_score']:+.3f}), model {signal['model']:+d} ({signal['model_score']:+.3f})"
        bar = f"bar {_time(signal['ts_bar'])}, close {signal['price']:g}"
        out.print(f"[bold]signal[/bold]   fused {signal['fused']:+d}, strength {signal['strength']:.3f}; {opinions}; {bar}", soft_wrap=True)
        version = signal["version"] or "none answered: the rule alone"
        window = f", window of {found.model['window']} rows" if found.model else ""
        out.print(f"[bold]model[/bold]    {escape(version)}{window}", soft_wrap=True)
        out.print(f"[bold]features[/bold] hash {signal['features']}" + (", the same when run again" if found.features else ""))
        if found.features:
            _features(found.features)
    if found.frames:
        out.print(f"[bold]inputs[/bold]   of session {escape(found.session)}")
    for frame in found.frames:
        mark = "[bold]>[/bold]" if frame.led else " "
        where = f"  [dim]{frame.file}[/dim]" if frame.file else ""
        out.print(f"  {mark} {frame.seq:,} {_time(frame.ts)} {frame.what}{where}\n      {escape(frame.text)}", soft_wrap=True)
    for text in found.missing:
        out.print(f"  [yellow]![/yellow] {escape(text)}", soft_wrap=True)


def _features(features: dict[str, float | None]) -> None:
    cells = [f"{name} {'null' if value is None else f'{value:.6g}'}" for name, value in features.items()]
    wide = max(map(len, cells)) + 3
    for at in range(0, len(cells), COLUMNS):
        out.print("         " + "".join(cell.ljust(wide) for cell in cells[at : at + COLUMNS]), soft_wrap=True)


def _order(order: dict[str, Any], listing: "Listing | None") -> str:
    if not order:
        return "was refused: it was never sent"
    price = f" at {_price(order['price'], listing)}" if order["price"] else ""
    reduces = ", reduce-only" if order["reduce_only"] else ""
    return (
        f"{order['side']} {_size(order['size'], listing)} {order['symbol']}{price}, {order['kind']} {order['tif']}{reduces}, "
        f"{order['purpose']}; {order['status']} of {order['account']}, epoch {order['epoch']}, decided {_time(order['ts'])}"
    )


def _price(units: int, listing: "Listing | None") -> str:
    return f"{units} units" if listing is None else f"{units / listing.price_unit:.{listing.instrument.price_decimals}f}"


def _size(units: int, listing: "Listing | None") -> str:
    return f"{units} units" if listing is None else f"{units / listing.size_unit:.{listing.instrument.size_decimals}f}"


def _time(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts // 10**9, UTC):%Y-%m-%d %H:%M:%S}.{ts % 10**9 // 1000:06d}"
