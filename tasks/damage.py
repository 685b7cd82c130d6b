"""Which of the parts that something is made of is damaged: looked for when making it has failed, for decoders do not name their file."""

import contextlib
from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa

from core.parts import Part, part_named
from core.store import Store, StoreError


@contextlib.contextmanager
def blaming(store: Store, inputs: Iterable[str]) -> Iterator[None]:
    """Let an error of decoding name the part among `inputs` that is damaged, as `StoreError`; other errors pass as they are."""
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the storage, not of what it holds
        for name in inputs:
            if (part := part_named(name)) and (damage := damage_of(store, part)):
                raise StoreError(f"{part}: unreadable ({damage}); delete {store.path(part)} and run again") from error
        raise


def damage_of(store: Store, part: Part) -> str:
    """What a decoder says of a part that it cannot read to its end; empty where it can."""
    try:
        store.scan(part).collect()
    except FileNotFoundError:
        return ""  # gone meanwhile
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        return str(error).strip().splitlines()[0]
    return ""
