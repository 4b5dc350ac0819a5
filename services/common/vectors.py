"""Embeddings as arrays and as bytes."""

import numpy as np
from numpy.typing import ArrayLike

from services.common.errors import InvalidInputError
from services.common.media import Matrix, Vector

UNIT_TOLERANCE = 1e-3
"""How far a vector's length may be from 1: half-precision arithmetic stays well inside."""


def normalize(vectors: ArrayLike) -> Matrix:
    """Scale each row, or one vector, to unit length. A zero vector has no direction and stays zero."""
    array = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    unit: Matrix = np.divide(array, lengths, out=np.zeros_like(array), where=lengths > 0)
    return unit


def to_bytes(vector: Vector) -> bytes:
    """Little-endian float32."""
    return vector.astype("<f4", copy=False).tobytes()


def from_bytes(data: bytes) -> Vector:
    """The inverse of `to_bytes`; InvalidInputError unless the bytes are a unit vector."""
    if not data or len(data) % 4:
        raise InvalidInputError(f"a vector is 4 bytes a component, little-endian float32; got {len(data)} bytes")
    vector = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
    with np.errstate(over="ignore"):  # a length beyond all numbers is infinite, and refused as any other
        length = float(np.linalg.norm(vector))
    if not abs(length - 1) <= UNIT_TOLERANCE:  # also true for NaN
        raise InvalidInputError(f"an embedding has length 1; this vector's is {length:.4g}: normalize it")
    return vector
