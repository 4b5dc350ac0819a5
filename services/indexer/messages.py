"""Values on their way between the indexer and its decoder: a line of JSON, then the bytes of the pictures in it.

Not pickle: a file that takes over the decoder must not get to run its code in the indexer too.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Message = TypeVar("Message")

LENGTH = struct.Struct("<Q")
"""Goes before each message in a pipe."""

INTEGERS = range(-(1 << 63), 1 << 63)


def encode(value: object) -> list[memoryview]:
    """A dataclass of numbers, texts, fractions, paths, pictures, tuples of one type and other such ones; in parts."""
    pictures: list[memoryview] = []

    def plain(part: Any) -> Any:
        match part:
            case np.ndarray():
                pictures.append(part.ravel().data)
                return part.shape
            case Fraction():
                return part.as_integer_ratio()
            case Path():
                return str(part)
        return {field.name: getattr(part, field.name) for field in fields(part)}

    line = json.dumps([type(value).__name__, value], default=plain)
    return [memoryview(f"{line}\n".encode()), *pictures]


def decode(kinds: Sequence[type[Message]], data: bytes) -> Message:
    """A value of one of `kinds`; ValueError if the data is anything else."""
    try:
        end = data.index(b"\n") + 1
        name, plain = json.loads(data[:end])
        (kind,) = (kind for kind in kinds if kind.__name__ == name)
        message: Message = _Reader(data, end).value(kind, plain)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"not a message: {error!r}") from None
    return message


_hints = cache(get_type_hints)


class _Reader:
    """Makes values, by their types, of what JSON has left of them."""

    def __init__(self, data: bytes, pictures: int) -> None:
        """`pictures` is where the bytes of the first one begin."""
        self._data = data
        self._position = pictures

    def value(self, kind: Any, plain: Any) -> Any:
        if hasattr(kind, "__dataclass_fields__"):
            return kind(*(self.value(hint, plain[name]) for name, hint in _hints(kind).items()))
        arguments = get_args(kind)
        if type(None) in arguments:
            return None if plain is None else self.value(arguments[0], plain)
        if get_origin(kind) is tuple:
            return tuple(self.value(arguments[0], part) for part in plain)
        if get_origin(kind) is np.ndarray:
            return self._picture([_integer(side) for side in plain])
        if kind is Fraction:
            return Fraction(*map(_integer, plain))
        return _integer(plain) if kind is int else kind(plain)

    def _picture(self, shape: list[int]) -> NDArray[np.uint8]:
        size = prod(shape)
        picture = np.frombuffer(self._data, np.uint8, size, self._position).reshape(shape)
        self._position += size
        return picture


def _integer(plain: object) -> int:
    if type(plain) is not int or plain not in INTEGERS:
        raise TypeError(f"{plain!r:.100} is not a whole number of 64 bits")
    return plain
