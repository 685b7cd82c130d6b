"""What the venue replays: recordings, or a market generated as it goes; frames in order of receipt, read as they are needed.

    files of `<receive time> <JSON>` lines, or kernels.generator -> Tape -> Frame, Frame, ...

What is listed is told from the first frames: spot or USD-M, symbols, decimals, tick and lot (the coarsest grid that all prices and
sizes of the first book and the frames after it lie on; on spot all sizes but a few, which are older than the lot). A snapshot belongs
to the symbol of the frames around it.
"""

import gzip
import heapq
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from core.market import NS, Instrument
from core.orders import Listing
from kernels import generator
from kernels.generator import Market
from kernels.generator_frames import text
from serving.binance_listed import size_decimals_of

Kind = Literal["spot", "usdm"]
SUFFIXES = (".gz", ".jsonl", ".txt")
SAMPLE = 4_000  # lines of a file that tell what it is of
ODD = 500  # one size of so many may be finer than the lot
HEAD = b'{"stream":"'
DATA = b'","data":'
NUMBERS = re.compile(rb'\["(\d+\.?\d*)","(\d+\.?\d*)"\]|"p":"(\d+\.?\d*)","q":"(\d+\.?\d*)"')
EVENT_TIME = re.compile(rb'"E":(\d{13})')
TRIES = re.compile(r"(USDT|USDC|FDUSD|BUSD|TUSD|BTC|ETH|BNB|EUR|TRY|USD)$")
MIN_NOTIONAL: dict[Kind, float] = {"spot": 5.0, "usdm": 20.0}
FEES: dict[str, tuple[float, float]] = {"binance-spot": (10.0, 10.0), "binance-usdm": (2.0, 5.0)}  # maker, taker, basis points


class TapeError(ValueError):
    """The recording cannot be replayed; the message says why and what to do."""


class Frame(NamedTuple):
    """`stream` is the name it was recorded under, empty for a snapshot; `data` is the frame without the envelope."""

    ts: int
    symbol: str
    stream: str
    data: bytes


class Tape(NamedTuple):
    """`begin`: receive time of the first frame; `lag`: the least receive less event time (below 0 where our clock was behind), ns."""

    kind: Kind
    listings: Mapping[str, Listing]
    digits: Mapping[str, tuple[int, int]]  # decimals of prices and sizes as they are written
    snapshots: Mapping[str, bytes]  # the first of each symbol
    begin: int
    lag: int
    frames: Callable[[], Iterator[Frame]]
    source: str


def recorded(path: Path, kind: Literal["auto", "spot", "usdm"] = "auto", fees: Mapping[str, tuple[float, float]] = FEES) -> Tape:
    """The tape of a file, or of all recordings in a folder. Raises `TapeError`."""
    if not path.exists():
        raise TapeError(f"{path} is not there. Give a recording, or a folder of them, with --from; or --generated for a made-up market")
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise TapeError(f"{path} holds no recording (files ending in {', '.join(SUFFIXES)})")
    chains: dict[str, list[tuple[int, Path]]] = {}
    samples: dict[str, list[Frame]] = {}
    found: set[Kind | None] = set()
    for file in files:
        sample = list(islice(frames_of(file), SAMPLE))
        if not sample:
            raise TapeError(f"{file} holds no frame of a combined stream of Binance")
        found.add(kind_of(sample))
        for frame in sample:
            samples.setdefault(frame.symbol, []).append(frame)
        chains.setdefault(sample[0].symbol, []).append((sample[0].ts, file))

    def play() -> Iterator[Frame]:
        return heapq.merge(*((f for _, file in sorted(chain) for f in frames_of(file)) for chain in chains.values()), key=lambda f: f.ts)

    return described(samples, found, play, kind, str(path), fees)


def generated(markets: Iterable[Market], seed: int, begin: int, fees: Mapping[str, tuple[float, float]] = FEES) -> Tape:
    """A USD-M market that is made as it is replayed: it never ends, and is the same for the same seed and `begin` (ns)."""
    made = list(markets)
    samples = {one.symbol: list(islice(generated_frames(one, seed, begin), SAMPLE)) for one in made}

    def play() -> Iterator[Frame]:
        return heapq.merge(*(generated_frames(one, seed, begin) for one in made), key=lambda frame: frame.ts)

    tape = described(samples, {"usdm"}, play, "usdm", "generated market", fees)
    return tape._replace(listings={symbol: on_grid(tape.listings[symbol], market) for market in made for symbol in [market.symbol]})


def on_grid(listing: Listing, market: Market) -> Listing:
    """The tick and lot that the generator was given, where the sample showed a coarser grid."""
    of = listing.instrument
    tick, lot = (round(size * 10**places) for size, places in ((market.tick_size, of.price_decimals), (market.lot_size, of.size_decimals)))
    if min(tick, lot) < 1:
        return listing
    return Listing(instrument=of, tick=tick, lot=lot, min_size=lot, max_size=listing.max_size, min_notional=listing.min_notional,
                   max_leverage=listing.max_leverage, maintenance=listing.maintenance, band=listing.band)  # fmt: skip


def generated_frames(market: Market, seed: int, begin: int) -> Iterator[Frame]:
    rng = generator.stream(seed, market.symbol, begin // (86_400 * NS))
    state = generator.first(market, rng)
    while True:
        end = begin + 60 * NS
        for after, records in generator.simulate(market, state, rng, begin, end):
            yield from frames_from(text(market, records).splitlines(), market.symbol)
            state = after
        begin = end


def frames_of(file: Path) -> Iterator[Frame]:
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
        try:
            yield from frames_from(lines)
        except (gzip.BadGzipFile, EOFError) as error:
            raise TapeError(f"{file} is cut off or no gzip file: {error}") from error


def frames_from(lines: Iterable[bytes], symbol: str = "") -> Iterator[Frame]:
    """Frames of lines; snapshots before the first frame of a stream wait for it, for their symbol."""
    waiting: list[tuple[int, bytes]] = []
    for line in lines:
        stamp, _, payload = line.strip().partition(b" ")
        if not stamp.isdigit() or not payload:
            continue
        ts = int(stamp) * 10 ** max(0, 19 - len(stamp))
        if payload.startswith(HEAD):
            name, _, data = payload[len(HEAD) : -1].partition(DATA)
            stream = name.decode()
            symbol = stream.partition("@")[0].upper()
            yield from (Frame(then, symbol, "", snapshot) for then, snapshot in waiting)
            waiting.clear()
            yield Frame(ts, symbol, stream, data)
        elif payload.startswith(b'{"lastUpdateId"'):
            if symbol:
                yield Frame(ts, symbol, "", payload)
            else:
                waiting.append((ts, payload))


def described(
    samples: Mapping[str, list[Frame]],
    found: Set[Kind | None],
    play: Callable[[], Iterator[Frame]],
    kind: str,
    source: str,
    fees: Mapping[str, tuple[float, float]],
) -> Tape:
    if len(found) > 1:
        raise TapeError(f"{source} holds both spot and USD-M recordings: give the folder of one of them")
    told: Kind | None = next(iter(found))
    if told is None or any("_" in symbol for symbol in samples):
        raise TapeError(
            f"{source} is neither of Binance spot nor of USD-M futures: COIN-M is recorded and learned from, but not traded here"
        )
    if kind not in ("auto", told):
        raise TapeError(f"{source} is of {told}, not of {kind}")
    listings: dict[str, Listing] = {}
    digits: dict[str, tuple[int, int]] = {}
    snapshots: dict[str, bytes] = {}
    for symbol, sample in samples.items():
        listings[symbol], digits[symbol] = listed(symbol, sample, told, fees)
        if first := next((frame for frame in sample if not frame.stream), None):
            snapshots[symbol] = first.data
    every = [frame for sample in samples.values() for frame in sample]
    lags = [frame.ts - int(at[1]) * 1_000_000 for frame in every if (at := EVENT_TIME.search(frame.data, 0, 400))]
    return Tape(told, listings, digits, snapshots, min(frame.ts for frame in every), min(lags, default=0), play, source)


def kind_of(sample: Iterable[Frame]) -> Kind | None:
    """Diffs of futures name the update before them; those of COIN-M name the pair as well."""
    for frame in sample:
        if "@depth" in frame.stream and frame.data.startswith(b'{"e":"depthUpdate"'):
            head = frame.data[:300]
            return None if b'"ps":' in head else "usdm" if b'"pu":' in head else "spot"
    return None


def listed(symbol: str, sample: Iterable[Frame], kind: Kind, fees: Mapping[str, tuple[float, float]]) -> tuple[Listing, tuple[int, int]]:
    """(what can be traded of a symbol, how many decimals prices and sizes are written with)."""
    prices: set[bytes] = set()
    sizes: set[bytes] = set()
    for frame in sample:
        for price, size, at, of in NUMBERS.findall(frame.data):
            prices.add(price or at)
            sizes.add(size or of)
    if not prices:
        raise TapeError(f"no price of {symbol} in the first {SAMPLE} frames")
    spot = kind == "spot"
    (tick, price_decimals, price_digits), (lot, size_decimals, size_digits) = grid(prices), grid(usual(sizes) if spot else sizes)
    finer = size_decimals_of(f"{Decimal(lot).scaleb(-size_decimals):f}", spot=spot) - size_decimals
    lot, size_decimals = lot * 10**finer, size_decimals + finer
    venue = f"binance-{kind}"
    base, quote = (TRIES.sub("", symbol), found[1]) if (found := TRIES.search(symbol)) else (symbol, "USDT")
    maker, taker = fees.get(venue, (10.0, 10.0))
    instrument = Instrument(
        venue=venue, symbol=symbol, price_decimals=price_decimals, size_decimals=size_decimals, tick_size=tick / 10**price_decimals,
        lot_size=lot / 10**size_decimals, base=base, quote=quote, settlement=quote, maker_bps=maker, taker_bps=taker,
    )  # fmt: skip
    listing = Listing(
        instrument=instrument, tick=tick, lot=lot, min_size=lot, max_size=lot * 1_000_000_000, min_notional=MIN_NOTIONAL[kind],
        max_leverage=1.0 if spot else 20.0, maintenance=0.0 if spot else 0.005,
    )  # fmt: skip
    return listing, (price_digits, size_digits)


def usual(words: Set[bytes]) -> list[bytes]:
    """Sizes without the few that have more decimals than the others."""
    places = {word: len(word.partition(b".")[2].rstrip(b"0")) for word in words}
    most = sorted(places.values())[len(places) - 1 - len(places) // ODD]
    return [word for word in words if places[word] <= most]


def grid(words: Iterable[bytes]) -> tuple[int, int, int]:
    """(the step that all numbers are whole multiples of, in units; the decimals of the units; the decimals they are written with)."""
    numbers = [Decimal(word.decode()) for word in words]
    written = max(-int(number.as_tuple().exponent) for number in numbers)
    step = math.gcd(*(int(number.scaleb(written)) for number in numbers)) or 1
    decimals = written
    while decimals and step % 10 == 0:
        step, decimals = step // 10, decimals - 1
    return (1 if decimals else step), decimals, written
