"""When a recorded frame leaves, and what times it tells then.

Event times leave as if the quickest frame had taken no time to be recorded, so none is from the future whatever the recorder's clock was.
    scaled   at `speed` times life the venue's clock goes as ours, and its times are closer together: a second has 20 seconds of market
    shifted  times keep their distances; at another speed than 1 the venue's clock goes at that speed too
    kept     times are the recorded ones, and so is the venue's clock
"""

import re
from typing import Literal

from serving.venue_words import MS

Mode = Literal["scaled", "shifted", "kept"]
STAMP = re.compile(rb'"([ET])":(\d{13})')


class Times:
    """Of one run through the tape from `wall` (ns, our clock) on; `speed` 0: as fast as it goes. All in ns."""

    def __init__(self, begin: int, lag: int, wall: int, speed: float = 1.0, mode: Mode = "scaled") -> None:
        self.begin, self.first, self.wall, self.speed, self.mode = begin, begin - lag, wall, speed, mode
        self.start = self.first if mode == "kept" else wall  # the venue's clock as the run begins
        self.latest = self.start
        self.skew = 0  # a fault: how far the venue's clock is ahead of what it should be

    def due(self, ts_recv: int) -> int:
        """On our clock."""
        return self.wall + round((ts_recv - self.begin) / self.speed) if self.speed else self.wall

    def event(self, ts: int) -> int:
        """What the venue tells of a recorded event time."""
        since = ts - self.first
        return self.start + self.skew + (round(since / self.speed) if self.mode == "scaled" and self.speed else since)

    def now(self, wall: int) -> int:
        """The venue's clock."""
        if self.mode == "scaled":
            return wall + self.skew if self.speed else max(self.latest, wall + self.skew)
        return self.start + self.skew + round((wall - self.wall) * self.speed) if self.speed else self.latest

    def stamped(self, data: bytes) -> bytes:
        """A frame with its times (at most the first two `E` and `T`) as the venue tells them."""
        if self.mode == "kept" and self.speed and not self.skew:
            return data
        return STAMP.sub(self._stamp, data, 2)

    def _stamp(self, found: re.Match[bytes]) -> bytes:
        told = self.event(int(found[2]) * MS)
        self.latest = max(self.latest, told) if found[1] == b"E" else self.latest
        return b'"%b":%d' % (found[1], told // MS)
