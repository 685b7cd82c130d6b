"""How the columns of a part are encoded in Parquet, measured on recorded and generated days: what is both small and quick to read.

Whole numbers that rise or keep close to the one before (times, ids, prices) as differences; levels of a book and floating-point
numbers with their bytes apart; words and constants in a dictionary. Statistics are kept of the columns that are searched by: times.
"""

from typing import Any

import pyarrow as pa

DICTIONARY = ("order_kind", "reason", "uri", "of", "venue", "symbol", "price_decimals", "size_decimals", "source", "side")
APART, DIFFERENCES = "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"


def encoding_of(field: pa.Field) -> tuple[str, str] | None:
    """The path of the column's values and their encoding; None where the library's own choice stands."""
    kind, path = field.type, field.name
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind, path = kind.value_type, f"{path}.list.element"
        return (path, APART) if pa.types.is_int64(kind) or pa.types.is_float64(kind) else None
    if pa.types.is_timestamp(kind) or pa.types.is_int64(kind) or pa.types.is_uint32(kind):
        return path, DIFFERENCES
    return (path, APART) if pa.types.is_float64(kind) else None


def writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Options of `pyarrow.parquet.ParquetWriter` for a part with these columns."""
    coded = [found for field in schema if field.name not in DICTIONARY and (found := encoding_of(field))]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [name for name in schema.names if name in DICTIONARY],
        "column_encoding": dict(coded),
        "write_statistics": [field.name for field in schema if pa.types.is_timestamp(field.type)],
    }
