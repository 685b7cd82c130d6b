"""Recorded lines `<receive time> <JSON>` to typed columns, block by block; Binance's frames of spot, USD-M and COIN-M.

    block -> plain lines to arrays (`kernels.frames_scan`), the others as JSON (`kernels.frames_json`) -> batches of each kind

Times become ns, prices and sizes floats; `kernels.frames_columns` makes tables of the result. A line that cannot be read is
refused with a reason. The first frame of each kind and symbol is always read as JSON: it tells the symbol's market.
"""

import numpy as np

from kernels.frames_batch import EARLIEST, LATEST, Batch, Refusal, merged, receive_times, shown
from kernels.frames_bytes import DIFF, QUOTE, TRADE
from kernels.frames_json import Decoder
from kernels.frames_scan import EVENT, FIRST, LONGEST, N_FLOATS, N_INTS, RECV, ROW, SYMBOL, scan
from kernels.frames_shapes import KINDS

SCANNED = {"trade": (TRADE, 3, 2), "bookTicker": (QUOTE, 1, 4), "depthUpdate": (DIFF, 3, 0)}  # kind: code, integers and floats it has
SHORTEST = 9  # bytes of a level: ["1","2"]
SMALL = 1 << 20  # bytes of text whose lines are not counted first


class Frames:
    """What was decoded so far: `add` blocks of whole lines, in order, then hand it to `frames_columns.tables`."""

    def __init__(self, *, keep_unknown_fields: bool = False) -> None:
        self.json = Decoder(keep_unknown_fields=keep_unknown_fields)
        self.batches: dict[str, list[Batch]] = {kind: [] for kind in KINDS}
        self.n_lines = 0
        self._buffers: tuple[np.ndarray, ...] = ()
        self._names, self._sizes = np.zeros((0, LONGEST), np.uint8), np.zeros(0, np.int64)
        self._known = np.zeros((len(SCANNED), 0), np.bool_)

    @property
    def refused(self) -> list[Refusal]:
        return self.json.refused

    @property
    def symbols(self) -> dict[str, int]:
        return self.json.symbols

    def add(self, block: bytes) -> None:
        """Decode whole lines, each ended by a newline except perhaps the last."""
        if not block:
            return
        if not block.endswith(b"\n"):
            block += b"\n"
        text = np.frombuffer(block, np.uint8)
        ints, floats, counts, pairs, odd = self._room(block)
        n = np.zeros(6, np.int64)
        found: dict[str, list[Batch]] = {kind: [] for kind in KINDS}
        at, line = 0, self.n_lines + 1
        while at < len(block):
            at, line = scan(text, at, line, self._names, self._sizes, self._known, ints, floats, counts, pairs, odd, n)
            new = []
            if at < len(block):
                end = block.index(b"\n", at)
                new, at, line = [(line, at, end)], end + 1, line + 1
            self._decode(block, odd[: n[3]].tolist() + new, found)
            n[3] = 0
        self.n_lines = line - 1
        for kind, (code, n_ints, n_floats) in SCANNED.items():
            if not (some := int(n[code])):
                continue
            fields = ints[code, :, :some].copy()
            levels = [(counts[side, :some].copy(), pairs[side, :, : n[4 + side]].copy()) for side in (0, 1)] if code == DIFF else []
            values = floats[code, :n_floats, :some].copy() if n_floats else np.empty((0, some))
            own = fields[FIRST : FIRST + n_ints]
            found[kind].append(Batch(fields[ROW], fields[RECV], fields[EVENT], fields[SYMBOL], own, values, levels))
        for kind, some in found.items():
            if some:  # one batch a block: what is merged later is then in order of blocks
                self.batches[kind].append(merged(some))

    def refuse_long(self, start: bytes) -> None:
        """A line too long to be taken into memory, of which only the start is there."""
        self.n_lines += 1
        recv = int(receive_times([start[:20].partition(b" ")[0]])[0])
        self.refused.append(Refusal(self.n_lines, recv if EARLIEST <= recv < LATEST else 0, "line too long", shown(start)))

    def _room(self, block: bytes) -> tuple[np.ndarray, ...]:
        """The scanner's arrays for so much text, kept from block to block; what is never written to takes no memory."""
        n_lines = len(block) if len(block) <= SMALL else block.count(b"\n")
        n_pairs = len(block) // SHORTEST + 1
        if not self._buffers or self._buffers[0].shape[-1] < n_lines or self._buffers[3].shape[-1] < n_pairs:
            n_lines, n_pairs = max(n_lines, SMALL), max(n_pairs, SMALL // SHORTEST + 1)
            self._buffers = (
                np.empty((len(SCANNED), N_INTS, n_lines), np.int64),
                np.empty((2, N_FLOATS, n_lines)),
                np.empty((2, n_lines), np.int64),
                np.empty((2, 2, n_pairs)),
                np.empty((n_lines, 3), np.int64),
            )
        return self._buffers

    def _decode(self, block: bytes, places: list[tuple[int, int, int]], found: dict[str, list[Batch]]) -> None:
        """Read (number, first byte, end) of lines as JSON, and have the scanner know the symbols that are new."""
        if places:
            self.json.decode([block[start:end] for _, start, end in places], [row for row, _, _ in places], found)
        if not self.json.fresh:
            return
        names = [name.encode() for name in self.symbols]
        self._names = np.array([list(name.ljust(LONGEST, b"\0")) for name in names], np.uint8).reshape(-1, LONGEST)
        self._sizes = np.array([len(name) for name in names], np.int64)
        self._known = np.pad(self._known, ((0, 0), (0, len(names) - self._known.shape[1])))
        for kind, name in self.json.fresh:
            if kind in SCANNED:
                self._known[SCANNED[kind][0], self.symbols[name]] = True
        self.json.fresh.clear()
