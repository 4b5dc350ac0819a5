"""What is installed is locked: every version fits what pyproject.toml asks for, and every file is known by its hash."""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.licenses import ALLOWED_BY_NAME, DOCUMENT, allowed, license_of
from tools.lock import BUILD, IMAGES, LOCKS, PROJECT, ROOT

EXTRAS = PROJECT["project"]["optional-dependencies"]
CORE = PROJECT["project"]["dependencies"]
EXPECTED = {
    "dev": [*CORE, *BUILD, *(requirement for extra in EXTRAS.values() for requirement in extra)],
    "build": BUILD,
    "tools": PROJECT["dependency-groups"]["tools"],
    **{image: [*CORE, *(asked for extra in extras for asked in EXTRAS[extra])] for image, extras in IMAGES.items()},
}
PINNED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)(?P<hashes>( --hash=sha256:[0-9a-f]{64})*)")
WITHOUT_HASH = {"torch"}


def entries(path):
    """The lines of a requirement file, less comments, with those that go on joined."""
    text = (ROOT / path).read_text().replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("#")]


def pins(path):
    found = [PINNED.fullmatch(entry) for entry in entries(path)]
    return {canonicalize_name(pin["name"]): pin["version"] for pin in found}


FILES = [
    *(f"locks/{name}.txt" for name in EXPECTED),
    *(path.name for path in ROOT.glob("requirements-*.txt")),
]


def test_there_is_a_lock_of_each_image_of_what_builds_and_of_what_develops():
    assert {path.stem for path in LOCKS.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("path", FILES)
def test_a_lock_has_exact_versions_with_hashes_and_nothing_of_where_they_are_from(path):
    for entry in entries(path):
        pin = PINNED.fullmatch(entry)
        assert pin, f"{path}: {entry}"
        assert pin["hashes"] or pin["name"] in WITHOUT_HASH, f"{path}: {pin['name']}"


@pytest.mark.parametrize("lock", EXPECTED)
def test_what_the_project_asks_for_is_locked_at_a_version_that_fits(lock):
    locked = pins(f"locks/{lock}.txt") | pins("requirements-torch.txt")
    for requirement in map(Requirement, EXPECTED[lock]):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement} is not in locks/{lock}.txt: make lock"
        assert requirement.specifier.contains(version), f"{requirement}, but locked {version}: make lock"


@pytest.mark.parametrize("lock", ["build", *IMAGES])
def test_images_have_the_versions_that_are_tested(lock):
    assert pins(f"locks/{lock}.txt").items() <= pins("locks/dev.txt").items()


def test_torch_alone_has_no_hash_and_no_lock_has_what_only_a_build_for_gpus_needs():
    assert list(pins("requirements-torch.txt")) == ["torch"]
    for path in FILES:
        assert not [name for name in pins(path) if re.match("nvidia|cuda|triton", name)]


@pytest.mark.parametrize("lock", ["dev", "build", *IMAGES])
def test_what_is_locked_is_complete(lock):
    """Each distribution of the lock finds what it needs there: it is installed without looking."""
    locked = pins(f"locks/{lock}.txt") | (pins("requirements-torch.txt") if lock in {"dev", "embedder"} else {})
    for name in locked:
        for needed in map(Requirement, metadata.requires(name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in locked, f"{name} needs {needed}"


def test_the_list_of_licences_is_that_of_the_lock():
    rows = re.findall(r"^\| ([\w.-]+) \| (.+?) \| (.*?) \|$", DOCUMENT.read_text(), flags=re.MULTILINE)[2:]
    assert {canonicalize_name(name) for name, *_ in rows} == {
        name for path in ("locks/dev.txt", "requirements-torch.txt", "requirements-weights.txt") for name in pins(path)
    }, "run `make licenses`"
    assert [name for name, expression, _ in rows if not allowed(name, expression)] == []
    assert [name for name, _, images in rows if name in ALLOWED_BY_NAME and images] == []


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("MIT", True),
        ("Apache-2.0 WITH LLVM-exception AND (MIT OR BSD-3-Clause)", True),
        ("GPL-3.0", False),
        ("MIT AND LGPL-2.1-or-later", False),
        ("MIT OR AGPL-3.0", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_if_each_of_its_parts_is(expression, fine):
    assert allowed("some-package", expression) is fine


def test_a_licence_is_read_from_whichever_field_has_it():
    assert license_of("pytest") == "MIT"  # an expression
    assert license_of("protobuf") == "BSD-3-Clause"  # free text
    assert license_of("plyvel") == "BSD"  # classifiers
