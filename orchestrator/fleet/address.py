"""What a host's address may be: an IP address or a host name, and nothing that a resolver takes for something else. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_NUMBER = re.compile(
    r"(?:0[xX][0-9A-Fa-f]*|\d+)\Z"
)  # resolvers take what ends in one for an IPv4 address, also a short one
_PORT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:\[\]/]+)):(?P<port>\d+)\Z")


def trouble(address: str) -> str:
    """What is wrong with an address, in words that can follow "the host"; empty when nothing is."""
    if _is_ip(address):
        return ""
    if "/" in address:
        return f"{address!r} is not an IP address or host name; give the host alone, scheme and port have keys of their own"
    if found := _PORT.match(address):
        host = found["six"] or found["host"]
        return f"{address!r} is an address with a port; write {{address: {host}, port: {found['port']}}}"
    if address[:1] == "[" and _is_ip(address.strip("[]")):
        return f"{address!r} is not an IP address or host name; an IPv6 address stands without brackets: {address.strip('[]')!r}"
    labels = address.removesuffix(".").split(".")
    if _NUMBER.match(labels[-1]):
        return (
            f"{address!r} is not an IP address; an IPv4 address has four numbers from 0 to 255, without leading zeros"
        )
    if len(address) > 253 or not all(map(_LABEL.match, labels)):
        return f"{address!r} is not an IP address or host name"
    return ""


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def fault_of_url(url: str) -> str:
    """What a page's address must be, or must not have, in words that can follow "it"; empty when it is in order."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 80)
    except ValueError:
        known = False
    if not known or not url.isprintable() or " " in url:
        return "must be an address such as http://10.0.0.1:9900/metrics"
    if parts.username or parts.password:
        return "must have no user or password in it: everybody who sees the plan would see them"
    return ""
