import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.addresses import is_balanced, is_local

LOCAL = [
    "127.0.0.1:50051",
    "127.8.9.10:1",
    "127.0.0.1",
    "localhost",
    "localhost:50051",
    "[::1]:50051",
    "::1",
    "dns:localhost:1",
    "dns:///localhost:1",
    "dns:///127.0.0.1:1",
    "dns:///[::1]:1",
    "ipv4:127.0.0.1:1",
    "ipv4:127.0.0.1:1,127.0.0.1:2",
    "ipv6:[::1]:1,[::1]:2",
    "unix:/run/store.sock",
    "unix:///run/store.sock",
    "unix-abstract:store",
]

ELSEWHERE = [
    "",
    ":50051",
    "store:50051",
    "10.0.0.1:50051",
    "0.0.0.0:50051",
    "[::]:50051",
    "0:50051",
    "[::1:50051",
    "::1:50051",
    "::ffff:10.0.0.1",
    "[::ffff:10.0.0.1]:1",
    "[::1]evil.com:1",
    "[127.0.0.1].evil.com:1",
    "localhost.evil.com:1",
    "localhost.:1",
    "127.0.0.1.evil.com:1",
    "127.0.0.1:1@evil.com",
    "127.0.0.1:1@evil.com:1",
    "localhost@evil.com:1",
    "evil.com#localhost:1",
    "evil.com/127.0.0.1:1",
    "evil.com:1/localhost",
    "evil.com:1\n127.0.0.1:1",
    "127.0.0.1:1\n",
    "127.0.0.1%2eevil.com:1",
    "127.0.0.1\N{FULLWIDTH FULL STOP}evil.com:1",
    "\N{FULLWIDTH DIGIT ONE}27.0.0.1:1",
    "127.0.0.1,evil.com:1",
    "127.0.0.1:1,127.0.0.1:2",
    "dns:///evil.com:1",
    "dns:///evil.com/localhost:1",
    "dns://8.8.8.8/localhost:1",
    "dns://evil.com/127.0.0.1:1",
    "dns:evil.com/localhost",
    "dns:////localhost:1",
    "dns:///dns:///localhost:1",
    "ipv4:127.0.0.1:1,10.0.0.1:1",
    "ipv4:10.0.0.1:1,127.0.0.1:1",
    "ipv4:10.0.0.1:1/127.0.0.1:1",
    "ipv4:127.0.0.1:1,",
    "ipv6:[::1]:1,[2001:db8::1]:1",
    "xds:///localhost:1",
    "https://localhost:1",
    "unixx:/run/store.sock",
    " unix:/run/store.sock",
]


@pytest.mark.parametrize("address", LOCAL)
def test_an_address_of_this_machine_is_local(address):
    assert is_local(address)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_any_other_address_is_not(address):
    assert not is_local(address)


hosts = st.sampled_from(["localhost", "127.0.0.1", "[::1]", "evil.com", "10.0.0.1", "0.0.0.0", "[2001:db8::1]"])
glue = st.sampled_from([*",/:@#?%.&;", "//", "[", "]", "dns:", "dns:///", "ipv4:", "ipv6:", "xds:", ":1", "\n", "\0"])


@given(st.lists(st.one_of(hosts, glue), max_size=7).map("".join))
def test_no_address_that_names_another_machine_is_local(address):
    if any(host in address for host in ("evil.com", "10.0.0.1", "0.0.0.0", "2001")):
        assert not is_local(address)


@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_exactly_the_loopback_addresses_are_local(host, port):
    assert is_local(f"{host}:{port}") == (str(host).split(".")[0] == "127")


@pytest.mark.parametrize(
    ("address", "balanced"), [("dns:///store:1", True), ("ipv4:10.0.0.1:1,10.0.0.2:1", True), ("store:1", False)]
)
def test_calls_are_shared_among_what_has_a_scheme_for_several(address, balanced):
    assert is_balanced(address) is balanced
