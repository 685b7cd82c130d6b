"""Reading and writing without checks, and results written past the caches.

Loops over rows of one array whose width is known when they are compiled need no proof that the rows do not overlap, so that they become
vector loops however many rows they use. That holds for plain places alone, hence `get` and `put`, which allow no negative ones.

A plain store reads the line that it is about to overwrite. A result that nobody reads soon is written in whole lines past the caches
instead, which leaves the reading out. What is stored is the same; on other machines than x86-64 the stores are plain ones.
"""

import platform
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8  # float64 in a cache line
PAST = platform.machine().lower() in {"x86_64", "amd64"}


def _place(context, builder, kind, array, at):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at], inbounds=True)


def _get(typing, array, at):
    """array[at] of a flat float64 array, unchecked."""

    def made(context, builder, signature, args):
        return builder.load(_place(context, builder, array, args[0], args[1]))

    return types.float64(array, types.intp), made


def _put(typing, array, at, value):
    """array[at] = value, unchecked."""

    def made(context, builder, signature, args):
        builder.store(args[2], _place(context, builder, array, args[0], args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.float64), made


def _line_stored(typing, target, at, source, k):
    """target[at : at + LANES] = source[k : k + LANES], where `at` begins a line of the target."""

    def made(context, builder, signature, args):
        line = ir.VectorType(ir.DoubleType(), LANES).as_pointer()
        to = builder.bitcast(_place(context, builder, target, args[0], args[1]), line)
        of = builder.bitcast(_place(context, builder, source, args[2], args[3]), line)
        stored = builder.store(builder.load(of, align=8), to, align=8 * LANES)
        if PAST:
            stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), made


def _settled(typing):
    """Lets whoever is told of it from now on see everything that has been written past the caches: such stores keep no order."""

    def made(context, builder, signature, args):
        if PAST:
            fence = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), ()), "llvm.x86.sse.sfence")
            builder.call(fence, ())
        return context.get_dummy_value()

    return types.void(), made


# What an intrinsic is called with is not what it is written with, which no checker knows.
get: Any = intrinsic(_get)
put: Any = intrinsic(_put)
settle: Any = intrinsic(_settled)
_store_line: Any = intrinsic(_line_stored)


@njit(cache=True, nogil=True)
def copy(target, source, k, n, past):
    """target[:n] = source[k : k + n]; past the caches if so told, as far as these are whole lines: then `settle` after the last."""
    at = 0
    if past:
        at = min(-(target.ctypes.data // 8) % LANES, n)
        for j in range(at):
            put(target, j, get(source, k + j))
        while at + LANES <= n:
            _store_line(target, at, source, k + at)
            at += LANES
    for j in range(at, n):
        put(target, j, get(source, k + j))
