"""The hash of a part's bytes, taken while they are written: nothing is read twice."""

import hashlib
from dataclasses import dataclass, field
from typing import IO, Any


@dataclass(slots=True)
class Hashed:
    """A file that hashes what passes through it."""

    file: IO[bytes]
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        pass  # the owner closes the file underneath

    @property
    def closed(self) -> bool:
        return self.file.closed
