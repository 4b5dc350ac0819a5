"""Our messages as other versions have them, made from descriptors, and both ends of calls with them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from operator import methodcaller
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.clients.buf import ROOT, SERVICES

PACKAGE = "videosearch.v1"
FIRST = ROOT / "tests" / "data" / "protos_0.1.0.binpb"
"""By `buf build --exclude-source-info`, from the first commit in which one could search."""

SERIALIZED = methodcaller("SerializeToString")


class Version:
    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        """The files come after those that they import."""
        self._pool = DescriptorPool()
        for file in files:
            self._pool.Add(file)

    def rpc(self, path: str) -> MethodDescriptor:
        """By its service and name, such as `StoreService/GetVideo`."""
        return self._pool.FindMethodByName(f"{PACKAGE}.{path.replace('/', '.')}")

    def request(self, path: str, **fields: Any) -> Any:
        """Fields are as in JSON."""
        return ParseDict(fields, GetMessageClass(self.rpc(path).input_type)())

    def response(self, path: str, **fields: Any) -> Any:
        return ParseDict(fields, GetMessageClass(self.rpc(path).output_type)())

    async def call(self, address: str, path: str, *requests: Message) -> list[Any]:
        """All that is answered."""
        async with grpc.aio.insecure_channel(address) as channel:
            method: Any = channel.stream_stream(  # one message is a stream of one
                f"/{PACKAGE}.{path}", SERIALIZED, GetMessageClass(self.rpc(path).output_type).FromString
            )
            return [response async for response in method(requests)]

    @asynccontextmanager
    async def answering(self, answers: Mapping[str, Iterable[Message]]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """A server that answers the RPCs so: its address, and what each was asked last."""
        asked: dict[str, Any] = {}
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([_Answers(self, answers, asked)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}", asked
        finally:
            await server.stop(None)


class _Answers(grpc.GenericRpcHandler):
    def __init__(self, version: Version, answers: Mapping[str, Iterable[Message]], asked: dict[str, Any]) -> None:
        self._version, self._answers, self._asked = version, answers, asked

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method.removeprefix(f"/{PACKAGE}.")
        if path not in self._answers:
            return None

        async def answer(requests: AsyncIterator[Message], context: Any) -> AsyncIterator[Message]:
            async for self._asked[path] in requests:
                pass
            for response in self._answers[path]:
                yield response

        read = GetMessageClass(self._version.rpc(path).input_type).FromString
        return grpc.stream_stream_rpc_method_handler(answer, read, SERIALIZED)


def earlier() -> Version:
    return Version(FileDescriptorSet.FromString(FIRST.read_bytes()).file)


def later() -> Version:
    """One to come: each message has one more field, each enum one more value, and each oneof one more case."""
    files = {file: FileDescriptorProto() for service in SERVICES for file in _with_imports(service.file)}
    for file, made in files.items():
        file.CopyToProto(made)
        if file.package == PACKAGE:
            for message in made.message_type:
                _extend(message)
            for enum in made.enum_type:
                enum.value.add(name=f"LATER_{enum.name}", number=99)
    return Version(files.values())


def _with_imports(file: FileDescriptor) -> list[FileDescriptor]:
    return [*(one for imported in file.dependencies for one in _with_imports(imported)), file]


def _extend(message: DescriptorProto) -> None:
    text = {"type": FieldDescriptorProto.TYPE_STRING, "label": FieldDescriptorProto.LABEL_OPTIONAL}
    unions = {
        field.oneof_index for field in message.field if field.HasField("oneof_index") and not field.proto3_optional
    }
    for union in unions:
        name = f"later_{message.oneof_decl[union].name}"
        message.field.add(name=name, number=2000 + union, oneof_index=union, **text)
    message.field.add(name="later", number=1000, **text)


def saying_more(message: Any) -> Any:
    """The message, in which it and all that it holds say more than the present version knows."""
    more = type(message).FromString(message.SerializeToString())
    for one in _messages(more):
        one.later = "more"
    return more


def _messages(message: Any) -> Iterable[Any]:
    """Those of ours in it, and itself."""
    if message.DESCRIPTOR.file.package == PACKAGE:
        yield message
    for field, value in message.ListFields():
        if field.message_type and not field.message_type.GetOptions().map_entry:
            for one in value if field.is_repeated else [value]:
                yield from _messages(one)
