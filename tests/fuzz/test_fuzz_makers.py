"""What is made at random comes to every part of a message, and again from the same numbers."""

from random import Random

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from tests.fuzz.calls import path_of, plan, rpcs
from tests.fuzz.damage import damaged
from tests.fuzz.messages import Messages

MADE = 100

each_rpc = pytest.mark.parametrize("rpc", rpcs(), ids=path_of)


def test_a_call_follows_from_its_number():
    plans = [[plan(7, number, {}) for number in range(50)] for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0] != [plan(8, number, {}) for number in range(50)]


@each_rpc
def test_every_field_of_a_request_is_set_at_some_time(rpc):
    messages = [Messages(Random(f"{number}"), {}).message(rpc.input_type) for number in range(MADE)]
    seen = {field.name for message in messages for field, _ in message.ListFields()}
    assert seen == {field.name for field in rpc.input_type.fields}


@each_rpc
def test_damage_makes_no_messages_of_some_and_leaves_others_readable(rpc):
    readable = set()
    for number in range(MADE):
        random = Random(f"{number}")
        data = Messages(random, {}).message(rpc.input_type).SerializeToString()
        try:
            GetMessageClass(rpc.input_type).FromString(damaged(random, data, rpc.input_type))
            readable.add(True)
        except DecodeError:
            readable.add(False)
    assert readable == {True, False}
