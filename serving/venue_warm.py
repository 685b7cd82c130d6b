"""A venue's first frames and orders on an account that is thrown away: all that is compiled is compiled before anybody is answered."""

from collections.abc import Sequence
from itertools import islice

from core.market import Side
from core.orders import Tif
from kernels.frames_live import Live
from kernels.matching import Matching
from kernels.matching_words import Kind, New
from serving.venue_tape import Frame, Tape

FRAMES = 400  # of the tape, each half of them with and without an order of ours


def warm(tape: Tape) -> None:
    """Half a minute the first time on a machine, some milliseconds after."""
    decoder = Live({symbol: (of.instrument.price_decimals, of.instrument.size_decimals) for symbol, of in tape.listings.items()})
    money = "1000000000000"
    bases = {of.instrument.base: money for of in tape.listings.values()} if tape.kind == "spot" else None
    matching = Matching(tape.listings, kind=tape.kind, quote_balance=money, base_balances=bases)
    frames = [frame for frame in islice(tape.frames(), FRAMES) if frame.stream and "@markPrice" not in frame.stream]
    follow(matching, decoder, frames[: len(frames) // 2])
    for symbol, of in tape.listings.items():
        bid, _, ask, _ = matching.top(symbol)
        if 0 < bid < ask:
            rests = New(
                client_id=f"rests-{symbol}", symbol=symbol, side=Side.BUY, price=bid, size=100 * max(of.min_size, of.lot), tif=Tif.GTX
            )
            matching.place(matching.now, rests)
    follow(matching, decoder, frames[len(frames) // 2 :])
    for symbol, of in tape.listings.items():
        taken = New(client_id=f"taken-{symbol}", symbol=symbol, side=Side.SELL, kind=Kind.MARKET, size=100 * max(of.min_size, of.lot))
        matching.place(matching.now, taken)
        matching.cancel(matching.now, symbol, client_id=f"rests-{symbol}")


def follow(matching: Matching, decoder: Live, frames: Sequence[Frame]) -> None:
    for frame in frames:
        payload = b'{"stream":"%b","data":%b}' % (frame.stream.encode(), frame.data)
        matching.market(decoder.decode([payload], frame.ts))
