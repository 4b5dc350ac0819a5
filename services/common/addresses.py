"""Where services listen and are found, as gRPC writes it."""

import re
from ipaddress import ip_address

BALANCED = ("dns:", "ipv4:", "ipv6:")
"""How an address of several replicas begins: https://github.com/grpc/grpc/blob/master/doc/naming.md."""

_NAMED = re.compile(r"(dns:(///)?)?(?P<host>.+)")
"""Without a name server of its own, which might call any address localhost."""
_LISTED = re.compile(r"ipv[46]:(?P<hosts>.+)")
_HOST = re.compile(r"(?P<name>localhost|[0-9.]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?|(?P<bare>[0-9a-fA-F:.]+)")


def is_balanced(address: str) -> bool:
    """Whether calls go to all that is found there in turn: `dns:///embedder:50051`, `ipv4:10.0.0.1:1,10.0.0.2:1`."""
    return address.startswith(BALANCED)


def is_local(address: str) -> bool:
    """Whether what is sent there stays on this machine, as far as the address says so itself.

    What is written in an unusual way is not: tokens go in the clear to what is.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    if listed := _LISTED.fullmatch(address):
        return all(map(_is_loopback, listed["hosts"].split(",")))
    named = _NAMED.fullmatch(address)
    return named is not None and _is_loopback(named["host"])


def _is_loopback(host: str) -> bool:
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["name"] or found["bare"]).strip("[]")
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
