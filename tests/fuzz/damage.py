"""What becomes of a message's bytes: by accident, or by somebody who knows the encoding."""

from random import Random

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
"""Wire types: https://protobuf.dev/programming-guides/encoding/#structure."""

NO_TEXT = (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"a\xf5\x80\x80\x80", b"\x80" * 9, b"\xf0\x9f")
"""Bytes that are no UTF-8: stray ones, half a surrogate pair, an overlong form, beyond Unicode, cut off."""

DEPTHS = (20, 90, 99, 100, 101, 150, 1000, 20_000)
"""Protobuf reads 100."""


def damaged(random: Random, data: bytes, descriptor: Descriptor) -> bytes:
    """The bytes after one of several misfortunes."""
    accidents = (_flipped, _cut, _repeated, _random, _odd_field, _odd_field, _no_text, _nested, _groups, _many)
    return random.choice(accidents)(random, data, descriptor)


def _flipped(random: Random, data: bytes, _: Descriptor) -> bytes:
    flipped = bytearray(data or b"\0")
    for _ in range(random.choice([1, 1, 2, 8, 64])):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


def _cut(random: Random, data: bytes, _: Descriptor) -> bytes:
    start = random.choice([0, random.randint(0, len(data))])
    return data[start : random.randint(start, len(data))]


def _repeated(random: Random, data: bytes, _: Descriptor) -> bytes:
    return data * random.choice([2, 3, 50]) if len(data) < 20_000 else data + data


def _random(random: Random, _: bytes, __: Descriptor) -> bytes:
    return random.randbytes(random.choice([0, 1, 2, 8, 100, 3000]))


def _odd_field(random: Random, data: bytes, descriptor: Descriptor) -> bytes:
    """One more field, known or not, of any wire type."""
    number = random.choice([*descriptor.fields_by_number, 0, 19_000, 2**29 - 1])
    kind = random.randrange(8)
    payload = {
        VARINT: random.choice([varint(2**64 - 1), b"\xff" * 10, b"\xff" * 40, varint(random.randrange(2**33))]),
        FIXED64: random.randbytes(random.choice([8, 8, 3])),
        FIXED32: random.randbytes(random.choice([4, 4, 1])),
        LENGTH: random.choice([of_length(random.randbytes(9)), varint(2**31 - 1), varint(2**63), varint(9) + b"few"]),
    }.get(kind, b"")
    return data + varint(number << 3 | kind) + payload


def _no_text(random: Random, data: bytes, descriptor: Descriptor) -> bytes:
    numbers = [field.number for field in descriptor.fields if field.type == FieldDescriptor.TYPE_STRING]
    return data + tag(random.choice(numbers or [1]), LENGTH) + of_length(random.choice(NO_TEXT))


def _nested(random: Random, data: bytes, descriptor: Descriptor) -> bytes:
    """Messages within messages, as deep as the type lets them be."""
    path: list[int] = []
    while len(path) < random.choice(DEPTHS[:-1]):
        inner = [field for field in descriptor.fields if field.message_type]
        deep = [field for field in inner if _is_deep(field.message_type)]
        if not inner:
            break
        field = random.choice(deep or inner)
        path.append(field.number)
        descriptor = field.message_type
    nested = b""
    for number in reversed(path):
        nested = tag(number, LENGTH) + of_length(nested)
    return data + nested


def _is_deep(descriptor: Descriptor, seen: tuple[str, ...] = ()) -> bool:
    """Whether such a message may hold another one of a type that it is within."""
    if descriptor.full_name in seen:
        return True
    inner = [field.message_type for field in descriptor.fields if field.message_type]
    return any(_is_deep(one, (*seen, descriptor.full_name)) for one in inner)


def _groups(random: Random, data: bytes, _: Descriptor) -> bytes:
    """Groups, which are unknown to proto3, in one another."""
    depth = random.choice(DEPTHS)
    return data + tag(99, START_GROUP) * depth + tag(99, END_GROUP) * random.choice([depth, depth - 1, 0])


def _many(random: Random, data: bytes, descriptor: Descriptor) -> bytes:
    """A field thousands of times, each empty."""
    lists = [field.number for field in descriptor.fields if field.is_repeated] or list(descriptor.fields_by_number)
    return data + (tag(random.choice(lists or [7]), LENGTH) + b"\0") * random.choice([257, 5000, 60_000])


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def of_length(data: bytes) -> bytes:
    return varint(len(data)) + data


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])
