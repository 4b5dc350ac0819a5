"""Where services listen and are found, as gRPC writes it."""

from ipaddress import ip_address

BALANCED = ("dns:", "ipv4:", "ipv6:")
"""How an address of several replicas begins: https://github.com/grpc/grpc/blob/master/doc/naming.md."""


def is_balanced(address: str) -> bool:
    """Whether calls go to all that is found there in turn: `dns:///embedder:50051`, `ipv4:10.0.0.1:1,10.0.0.2:1`."""
    return address.startswith(BALANCED)


def is_local(address: str) -> bool:
    """Whether what is sent there stays on this machine, as far as the address says so itself."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    if is_balanced(address):
        address = address.partition(":")[2].rpartition("/")[2]
    return all(_is_loopback(part) for part in address.split(","))


def _is_loopback(part: str) -> bool:
    host = part.rpartition(":")[0].strip("[]") if part.count(":") == 1 or "]" in part else part
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
