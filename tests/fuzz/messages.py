"""Messages of any type, made from its descriptor: nearly valid ones, and bytes that are none at all."""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

Known = Mapping[str, Sequence[Any]]
"""Values that mean something to the services, by a field's name or full name, or a message's full name."""

MAX_DEPTH = 12
MOST_VALUES = 3000
"""In one message."""

WORDS = ("a", "rabbit", "bikes in the rain", "kind", "cartoon", "title", "0.5", "7")
ODD_WORDS = (
    *("", " ", "\0", "a\0b", "\n", "../../etc/passwd", "%s%n", "'; DROP TABLE jobs; --", "1e999", "-1", "9" * 40),
    *("\u202egnp.exe", "\u0627\u0644", "\U0001f980" * 40, "e\u0301" * 200, "\ufffe\uffff", "\u0661\u0662", "\ud7ff"),
    *("a" * 129, "b" * 5000, "c" * 70_000, "/", "//", "file:///etc/passwd", "s3://", "http://[", "http://\u2100/"),
)
ODD_INTEGERS = (-1, 0, 1, 17, 1000, 1001, 10**6, 2**31 - 1, -(2**31), 10**9, 2**40, 315_576_000_001, 2**62, -(2**62))
ODD_NUMBERS = (math.nan, math.inf, -math.inf, -0.0, 0.0, -1.0, 1.0, 1 + 1e-9, 5e-324, 1e308, -1e308, 1e-30)
ODD_BYTES = (b"", b"\0", b"\xff" * 3, b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", bytes(2048), b"\xff" * 2048)
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Messages:
    """Makes messages, as the random numbers have it: each maker is as odd as it happens to be."""

    def __init__(self, random: Random, known: Known) -> None:
        self._random = random
        self._known = known
        self._oddity = random.choice([0, 0, 0, 0.01, 0.05, 0.4])
        """How often a value is out of place."""
        self._optional, self._parts = random.choice([0, 0.05, 0.3]), random.choice([0.1, 0.5, 0.9])
        """How often something is set that need not be: a plain value, or what has parts itself."""
        self._changes = random.choice([0.02, 0.1, 0.3])
        """How often a part of a request that would do is made anew."""
        self._left = MOST_VALUES

    def message(self, descriptor: Descriptor, depth: int = 0) -> Message:
        known = self._known.get(descriptor.full_name)
        if known and not self._happens(self._oddity + 0.03):
            return self._changed(self._random.choice(known), depth)
        made = GetMessageClass(descriptor)()
        for oneof in descriptor.oneofs:
            if len(oneof.fields) > 1 and not self._happens(self._oddity):
                self._set(made, self._random.choice(oneof.fields), depth)
        for field in descriptor.fields:
            if field.containing_oneof is None or len(field.containing_oneof.fields) == 1:
                self._perhaps_set(made, field, depth)
        return made

    def _changed(self, known: Message, depth: int) -> Message:
        changed = type(known)()
        changed.CopyFrom(known)
        for field in known.DESCRIPTOR.fields:
            if self._happens(self._oddity if depth else self._changes):
                changed.ClearField(field.name)
                self._set(changed, field, depth)
        return changed

    def _perhaps_set(self, made: Message, field: FieldDescriptor, depth: int) -> None:
        has_parts = field.is_repeated or field.message_type
        share = self._parts if has_parts else self._optional if field.has_presence else 0.9
        if depth < MAX_DEPTH and self._left > 0 and self._happens(share):
            self._set(made, field, depth)

    def _set(self, made: Message, field: FieldDescriptor, depth: int) -> None:
        if field.is_repeated:
            self._extend(getattr(made, field.name), field, depth)
        elif field.message_type:
            getattr(made, field.name).CopyFrom(self.message(field.message_type, depth + 1))
        else:
            setattr(made, field.name, self._value(field))

    def _extend(self, values: Any, field: FieldDescriptor, depth: int) -> None:
        for _ in range(self._count()):
            self._left -= 1
            if self._left < 0:
                return
            if field.message_type and field.message_type.GetOptions().map_entry:
                self._put(values, field.message_type, depth)
            elif field.message_type:
                values.add().CopyFrom(self.message(field.message_type, depth + 1))
            else:
                values.append(self._value(field))

    def _put(self, values: Any, entry: Descriptor, depth: int) -> None:
        key, value = self._value(entry.fields_by_name["key"]), entry.fields_by_name["value"]
        if value.message_type:
            values[key].CopyFrom(self.message(value.message_type, depth + 1))
        else:
            values[key] = self._value(value)

    def _count(self) -> int:
        return self._random.choice([0, 17, 70, 300, 1100] if self._happens(self._oddity / 3) else [1, 1, 1, 2, 3])

    def _value(self, field: FieldDescriptor) -> Any:
        self._left -= 1
        odd = self._happens(self._oddity)
        known = self._known.get(field.full_name) or self._known.get(field.name)
        if known and not odd:
            return self._random.choice(known)
        return self._odd(field) if odd else self._plain(field)

    def _plain(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_BOOL:
                return self._happens(0.5)
            case FieldDescriptor.CPPTYPE_ENUM:
                return self._random.choice(field.enum_type.values).number
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return self._random.choice([0.5, 1, self._random.random(), self._random.uniform(-2, 3)])
            case FieldDescriptor.CPPTYPE_STRING:
                text = field.type == FieldDescriptor.TYPE_STRING
                return self._random.choice(WORDS) if text else self._random.randbytes(self._random.randrange(40))
        return self._random.randrange(20)

    def _odd(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_BOOL:
                return True
            case FieldDescriptor.CPPTYPE_ENUM:
                return self._random.choice([-1, 0, 99, 2**31 - 1])
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return self._random.choice(ODD_NUMBERS)
            case FieldDescriptor.CPPTYPE_STRING:
                return self._random.choice(ODD_WORDS if field.type == FieldDescriptor.TYPE_STRING else ODD_BYTES)
        low, high = INTEGERS[field.cpp_type]
        return self._random.choice([low, high, *(value for value in ODD_INTEGERS if low <= value <= high)])

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability
