"""docs/api.md is true: it has every RPC, its commands run, and they answer what it shows."""

import re
from typing import Any

import pytest

from tests.clients.buf import ROOT, SERVICES, documents, run
from tools.samples import FOLDER
from tools.stack import Stack

PAGE = (ROOT / "docs" / "api.md").read_text()

FIRST_LINES = re.search(r"```sh\n([^`]*)```", PAGE)[1]
EXAMPLE = re.compile(r"```sh\n([^`]*)```\n\n```json\n([^`]*)```")
SECTION = re.compile(r"\n(##+) (\w+)\n(.*?)(?=\n##|\Z)", re.DOTALL)
RPC = re.compile(r"((?:  //.*\n)+)  rpc (\w+)\(")
CODE = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b|UNAVAILABLE")

MORE = "…"
NOW = re.compile(r"[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z")
"""An id or a time, which each run has of its own."""


class Reader:
    """Follows the page, and has ids and times of its own where the page shows others."""

    def __init__(self) -> None:
        self.own: dict[str, str] = {}

    def instead(self, command: str) -> str:
        for shown, own in self.own.items():
            command = command.replace(shown, own)
        return command

    def sees(self, shown: Any, answer: Any) -> bool:
        """Whether the page shows this answer, shortened."""
        if isinstance(shown, dict):
            present = isinstance(answer, dict) and bool(shown) == bool(answer) and shown.keys() <= answer.keys()
            return present and all(self.sees(value, answer[key]) for key, value in shown.items())
        if isinstance(shown, list):
            return isinstance(answer, list) and self.sees_in(shown, answer)
        if isinstance(shown, str):
            return isinstance(answer, str) and self._same(shown, answer)
        return shown == pytest.approx(answer, abs=0.005)

    def sees_in(self, shown: list[Any], answers: list[Any]) -> bool:
        """Whether these are the answers, or, with MORE, some of them, in order."""
        wanted, rest = [one for one in shown if one != MORE], iter(answers)
        complete = MORE in shown or len(shown) == len(answers)
        return complete and all(any(self.sees(one, answer) for answer in rest) for one in wanted)

    def _same(self, shown: str, answer: str) -> bool:
        if NOW.fullmatch(shown) and NOW.fullmatch(answer):
            return self.own.setdefault(shown, answer) == answer
        return shown == answer or (shown.endswith(MORE) and len(answer) >= len(shown))


def sections() -> dict[tuple[str, str], str]:
    """What the page has of each RPC, by service and name."""
    found, service = {}, ""
    for level, name, text in SECTION.findall(PAGE):
        service = name if level == "##" else service
        if level == "###":
            found[service, name] = text
    return found


def promised() -> dict[tuple[str, str], set[str]]:
    """The errors of each RPC, as the proto files tell them."""
    found = {}
    for service in SERVICES:
        text = (ROOT / "protos" / service.file.name).read_text()
        found |= {(service.name, name): set(CODE.findall(comment)) for comment, name in RPC.findall(text)}
    return found


@pytest.mark.asyncio(loop_scope="session")
async def test_its_commands_answer_as_it_shows(system: Stack) -> None:
    first_lines = FIRST_LINES
    for name, address in system.addresses.items():
        first_lines = re.sub(rf"(?m)^{name}=http://[\d.:]+/", f"{name}=http://{address}/", first_lines)
    reader = Reader()
    for command, shown in EXAMPLE.findall(PAGE):
        script = reader.instead(command).replace("/videos/", f"{FOLDER}/")
        said = await run("bash", "-c", first_lines + script)
        answers = list(documents((said.output or said.complaint).replace(f"{FOLDER}/", "/videos/")))
        assert reader.sees_in(list(documents(shown)), answers), f"{command}answered {answers}"


def test_it_has_every_rpc_with_a_command_for_it() -> None:
    assert sections().keys() == {(service.name, method.name) for service in SERVICES for method in service.methods}
    for (service, name), text in sections().items():
        command, _ = EXAMPLE.search(text).groups()
        assert f"${service.removesuffix('Service').lower()}/{name}" in command


def test_it_names_the_errors_that_the_proto_files_name() -> None:
    for rpc, text in sections().items():
        (errors,) = re.findall(r"\nErrors: (.*?)\n\n", text, re.DOTALL)
        assert set(CODE.findall(errors)) == promised()[rpc], rpc
