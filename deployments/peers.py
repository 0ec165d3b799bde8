"""Who asks over gRPC: Ray's gRPC servers listen on every address, whatever `host` says."""

import functools
import ipaddress
import socket
from urllib.parse import unquote

import psutil

__all__ = ["is_of_this_machine"]


def is_of_this_machine(peer: str) -> bool:
    """Whether a gRPC peer (``ipv4:10.0.0.7:5123``, ``ipv6:%5B::1%5D:5123``) is this machine."""
    kind, _, rest = unquote(peer).partition(":")
    if kind == "unix":
        return True
    try:
        address = ipaddress.ip_address(rest.rpartition(":")[0].strip("[]").partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or str(address) in _own_addresses()


@functools.cache
def _own_addresses() -> frozenset[str]:
    return frozenset(
        each.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family in (socket.AF_INET, socket.AF_INET6)
    )
