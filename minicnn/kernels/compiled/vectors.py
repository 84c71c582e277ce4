"""Vector instructions for compiled loops, written in LLVM's language.

Numba's language has no vectors: sums would be kept in memory, and each product would load and store one.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

VECTOR = 32
"""Bytes of a vector: 8 numbers in float32."""


def vector_of(scalar: ir.Type) -> tuple[ir.VectorType, int, int]:
    """Return the type of a vector of this type, how many fit in it, and the bytes of one."""
    size = 4 if isinstance(scalar, ir.FloatType) else 8
    return ir.VectorType(scalar, VECTOR // size), VECTOR // size, size


def number(value: int) -> ir.Constant:
    """Return an integer of LLVM's."""
    return ir.Constant(ir.IntType(64), value)


def at(b: ir.IRBuilder, pointer: Any, offset: Any, vector: ir.VectorType) -> Any:
    """Return a pointer to the vector that begins `offset` elements after `pointer`."""
    return b.bitcast(b.gep(pointer, [offset]), vector.as_pointer())


def repeat(b: ir.IRBuilder, scalar: Any, vector: ir.VectorType) -> Any:
    """Return a vector with the same number in all lanes."""
    undefined, index = ir.Constant(vector, ir.Undefined), ir.IntType(32)
    zeros = ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count)
    return b.shuffle_vector(b.insert_element(undefined, scalar, ir.Constant(index, 0)), undefined, zeros)


def multiply_add(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z, rounded once, in each lane: one instruction of the processor."""
    return _call(b, f"llvm.fma.{_name(x.type)}", x.type, [x, y, z])


def first_lanes(b: ir.IRBuilder, count: Any, vector: ir.VectorType) -> Any:
    """Return a mask of the first `count` lanes."""
    integers = ir.VectorType(ir.IntType(64), vector.count)
    return b.icmp_signed("<", ir.Constant(integers, list(range(vector.count))), repeat(b, count, integers))


def load_lanes(b: ir.IRBuilder, pointer: Any, mask: Any) -> Any:
    """Return the numbers in the lanes of a mask, 0 in the others, whose memory is not read."""
    vector = pointer.type.pointee
    name = f"llvm.masked.load.{_name(vector)}.p0{_name(vector)}"
    return _call(b, name, vector, [pointer, _alignment(vector), mask, ir.Constant(vector, [0.0] * vector.count)])


def store_lanes(b: ir.IRBuilder, value: Any, pointer: Any, mask: Any) -> None:
    """Write the lanes of a mask; the memory of the others is not touched."""
    name = f"llvm.masked.store.{_name(value.type)}.p0{_name(value.type)}"
    _call(b, name, ir.VoidType(), [value, pointer, _alignment(value.type), mask])


def _alignment(vector: ir.VectorType) -> ir.Constant:
    return ir.Constant(ir.IntType(32), VECTOR // vector.count)


def _name(vector: ir.VectorType) -> str:
    return f"v{vector.count}f{8 * VECTOR // vector.count}"


def _call(b: ir.IRBuilder, name: str, result: ir.Type, args: list[Any]) -> Any:
    known = b.module.globals.get(name)
    return b.call(known or ir.Function(b.module, ir.FunctionType(result, [a.type for a in args]), name), args)
