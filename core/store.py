"""The lake: Parquet parts on a folder or an object store, each whole or absent, each with its lineage in its footer.

    Part -> <root>/<table>/venue=…/symbol=…/day=…/part.parquet

A part is written under a unique temporary name and renamed: readers never see half a file, and writing twice is writing
once. The content hash is the SHA-256 of the encoded columns, so equal data has an equal hash; `Lineage.inputs` holds the
hashes of what a part was made from, which is all it takes to know whether it is stale.
"""

import contextlib
import errno
import fnmatch
import glob
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from core import trail
from core.encodings import writer_options
from core.freshness import Freshness, freshness
from core.hashing import Hashed
from core.parts import TABLE, Lineage, Part
from core.shapes import arrow_schema, conform, with_floats
from core.states import State
from core.store_errors import StoreError

LINEAGE_KEY = b"scalp.lineage"


@dataclass(slots=True)
class Sink:
    """A part being written, batch by batch; `facts` may be filled until the end."""

    writer: pq.ParquetWriter
    schema: pa.Schema
    facts: dict[str, Any]
    rows: int = 0

    def add(self, frame: pl.DataFrame | pa.Table) -> None:
        rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest()) if isinstance(frame, pl.DataFrame) else frame
        if len(rows):
            self.writer.write_table(rows if rows.schema.equals(self.schema) else rows.cast(self.schema))
            self.rows += len(rows)


class Store:
    """A lake at `root`: a folder or any fsspec URL. Cheap to make, safe to share between threads and processes."""

    def __init__(self, root: str | Path, code: str = "") -> None:
        self.root = str(root)
        self.code = code
        self.run_folder = trail.RUN_FOLDER.get()
        self.fs, base = fsspec.core.url_to_fs(self.root)
        self.base = str(base).rstrip("/")
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def still(self) -> "Store":
        """The same lake as it stands now: each footer and each listing is read once, however often it is asked for. For planning."""
        store = Store(self.root, self.code)
        store.exists = cache(store.exists)
        store.parts = cache(store.parts)
        store.lineage = cache(store.lineage)
        return store

    def path(self, part: Part) -> str:
        return f"{self.base}/{part.folder}/{part.file}"

    def url(self, part: Part) -> str:
        """What Polars is handed: a plain path for a folder, a URL else."""
        return self.path(part) if self.local else self.fs.unstrip_protocol(self.path(part))

    def exists(self, part: Part) -> bool:
        return bool(self.fs.exists(self.path(part)))

    def parts(self, table: str, venue: str = "*", symbol: str = "*", day: date | str = "*", piece: str = "*") -> list[Part]:
        """All parts of a table (`*` matches any), in order of venue, symbol, day and piece."""
        found = []
        self.fs.invalidate_cache()
        pattern = f"{table}/venue={venue}/symbol={symbol}/day={day}/part*.parquet"
        for path in Path(self.base).glob(pattern) if self.local else self.fs.glob(f"{glob.escape(self.base)}/{pattern}"):
            name, *keys, file = str(path)[len(self.base) :].strip("/").split("/")[-5:]
            values = dict(word.split("=", 1) for word in keys)
            of = file.removesuffix(".parquet").removeprefix("part").removeprefix("-")
            if not fnmatch.fnmatch(of, piece):
                continue
            with contextlib.suppress(ValueError):
                found.append(Part(name, values["venue"], values["symbol"], date.fromisoformat(values["day"]), of))
        return sorted(found)

    def tables(self) -> list[str]:
        """Names of the tables that have a folder."""
        if not self.fs.exists(self.base):
            return []
        names = (str(p).rstrip("/").rsplit("/", 1)[-1] for p in self.fs.ls(self.base, detail=False))
        return sorted(n for n in names if TABLE.fullmatch(n))

    def lineage(self, part: Part) -> Lineage | None:
        """The part's lineage, or None where there is no part. A torn or foreign file raises `StoreError`."""
        try:
            with self.fs.open(self.path(part), "rb") as file:
                found = (pq.read_metadata(file).metadata or {}).get(LINEAGE_KEY)
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(f"{part}: unreadable ({error}); delete {self.path(part)} and run again") from error
        if found is None:
            raise StoreError(f"{part}: {self.path(part)} was not written by this program")
        return msgspec.json.decode(found, type=Lineage)

    def content(self, part: Part) -> str | None:
        """The content hash of a part, or None where there is no part."""
        lineage = self.lineage(part)
        return lineage.content if lineage else None

    def freshness(self, part: Part, *, inputs: Mapping[str, str], params: Mapping[str, Any]) -> Freshness:
        """Whether the part is there and was made of just these inputs, by these parameters, under this schema; and why not."""
        try:
            return freshness(self.lineage(part), inputs=inputs, params=params)
        except StoreError as error:
            return Freshness(State.STALE, str(error))  # unreadable is stale: it is made again

    def fresh(self, part: Part, *, inputs: Mapping[str, str], params: Mapping[str, Any]) -> bool:
        """Whether `freshness` has nothing to say."""
        return self.freshness(part, inputs=inputs, params=params).fresh

    def scan(self, parts: Part | Sequence[Part], *, floats: bool = False) -> pl.LazyFrame:
        """The rows of parts of one table, lazily; with `floats`, `<name>_float` stands beside each scaled integer."""
        parts = [parts] if isinstance(parts, Part) else list(parts)
        if not parts:
            raise ValueError("nothing to scan")
        if self.local:
            frame = pl.scan_parquet([self.path(p) for p in parts], hive_partitioning=False)
        else:
            frames = []
            for part in parts:
                with self.fs.open(self.path(part), "rb") as file:
                    frames.append(pl.read_parquet(file, hive_partitioning=False).lazy())
            frame = pl.concat(frames)
        return with_floats(frame, parts[0].table) if floats else frame

    @contextlib.contextmanager
    def writing(
        self, part: Part, *, inputs: Mapping[str, str], params: Mapping[str, Any], schema: pa.Schema | None = None
    ) -> Iterator[Sink]:
        """Write a part in batches: `with store.writing(part, ...) as sink: sink.add(frame)`. It appears, whole, at the end.

        An exception inside leaves the part as it was. A full disk raises `StoreError`.
        """
        final = self.path(part)
        temporary = f"{final.rsplit('/', 1)[0]}/part.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
        schema = schema or arrow_schema(part.table)
        try:
            self.fs.makedirs(final.rsplit("/", 1)[0], exist_ok=True)
            with self.fs.open(temporary, "wb") as file:
                through = Hashed(file)
                with pq.ParquetWriter(through, schema, **writer_options(schema)) as writer:
                    sink = Sink(writer, schema, {})
                    yield sink
                    if not sink.rows:
                        writer.write_table(sink.schema.empty_table())
                    lineage = Lineage(
                        rows=sink.rows,
                        content=through.digest.hexdigest(),
                        inputs=dict(inputs),
                        code=self.code,
                        params=dict(params),
                        facts=sink.facts,
                    )
                    writer.add_key_value_metadata({LINEAGE_KEY: msgspec.json.encode(lineage)})
                if self.local:
                    file.flush()
                    os.fsync(file.fileno())
            if self.local:
                os.replace(temporary, final)  # noqa: PTH105
            else:
                self.fs.mv(temporary, final)
            trail.note(self.run_folder, str(part), lineage.content, lineage.rows, lineage.inputs)
        except BaseException as error:
            with contextlib.suppress(OSError):
                self.fs.rm_file(temporary)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise StoreError(
                    f"{part}: the disk is full; what was written before is untouched. Free some space and run again"
                ) from error
            raise

    def write(
        self,
        part: Part,
        frame: pl.DataFrame | pl.LazyFrame,
        *,
        inputs: Mapping[str, str],
        params: Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
    ) -> Part:
        """Write a whole part at once. Columns are put in the table's order; a missing or mistyped one raises."""
        made = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
        made = conform(made, part.table)
        schema = made.head(0).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        with self.writing(part, inputs=inputs, params=params, schema=schema) as sink:
            sink.facts.update(facts or {})
            sink.add(made)
        return part

    def empty(self, part: Part) -> None:
        """Take the rows out of a part and leave its footer, `emptied` among its facts: what was made from it stays as it is."""
        found = self.lineage(part)
        if found is None or found.facts.get("emptied"):
            return
        with self.fs.open(self.path(part), "rb") as file:
            schema = pq.read_schema(file).remove_metadata()
        kept = msgspec.structs.replace(found, facts=found.facts | {"emptied": True})
        temporary = f"{self.path(part).rsplit('/', 1)[0]}/part.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
        with self.fs.open(temporary, "wb") as file, pq.ParquetWriter(file, schema) as writer:
            writer.write_table(schema.empty_table())
            writer.add_key_value_metadata({LINEAGE_KEY: msgspec.json.encode(kept)})
        (os.replace if self.local else self.fs.mv)(temporary, self.path(part))

    def remove(self, part: Part) -> None:
        """Delete a part; one that is not there is not an error."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path(part))

    def sweep(self) -> int:
        """Remove what killed processes of this machine left half written; returns how many files."""
        swept = 0
        if not self.local:
            return swept
        for path in Path(self.base).glob("*/venue=*/symbol=*/day=*/part.*.partial"):
            pid = int(path.name.split(".")[1].split("-")[0])
            if not Path(f"/proc/{pid}").exists():
                path.unlink(missing_ok=True)
                swept += 1
        return swept


def inputs_of(store: Store, parts: Iterable[Part]) -> dict[str, str]:
    """`inputs` of a part made from `parts`: name -> content hash. A missing part raises `StoreError`."""
    found = {}
    for part in parts:
        content = store.content(part)
        if content is None:
            raise StoreError(f"{part}: missing")
        found[str(part)] = content
    return found
