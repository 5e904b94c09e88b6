"""The addresses of brokers, read in one place: `HOST:PORT` and `[IPV6]:PORT`, several in one text or in a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv6Address
from typing import Final

__all__ = ["EMBEDDED", "parse_brokers"]

EMBEDDED: Final = "embedded"
EXAMPLE = "write HOST:PORT, such as 'localhost:9092'"
USUAL_PORT = 9092
LAST_PORT = 65_535
LONGEST_NAME = 253  # of a host in DNS
SEPARATORS = re.compile(r"[,\s]+")
HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")  # an underscore is not in DNS, but in names of containers
SHOWN_PORT = re.compile(r"\d{0,5}\]?", re.ASCII)  # or the last group of an IPv6 address
BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.*))?")


def parse_brokers(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return each address once, in order; raises `ValueError` that says what is wrong with one and what to write.

    A text may hold several, separated by commas or spaces. `embedded` stands alone.

    >>> parse_brokers("one:9092, two:9092")
    ('one:9092', 'two:9092')
    >>> parse_brokers(["[::1]:9092"])
    ('[::1]:9092',)
    """
    addresses = [address for text in ([given] if isinstance(given, str) else given) for address in _split(text)]
    if not addresses:
        raise ValueError(f"brokers: there is no address; {EXAMPLE}, or {EMBEDDED!r}")
    if EMBEDDED in addresses:
        if set(addresses) != {EMBEDDED}:
            raise ValueError(f"brokers: {EMBEDDED!r} is the broker of this platform, and goes with no other address")
        return (EMBEDDED,)
    return tuple(dict.fromkeys(map(_checked, addresses)))


def _split(text: object) -> list[str]:
    if not isinstance(text, str):
        raise ValueError(f"brokers: an address is a text, and not of type {type(text).__name__}; {EXAMPLE}")  # noqa: TRY004  as all that is refused
    addresses = [address for address in SEPARATORS.split(text) if address]
    if not addresses:
        raise ValueError(f"brokers: {text!r:.60} holds no address; {EXAMPLE}, or {EMBEDDED!r}")
    return addresses


def _checked(address: str) -> str:
    if "://" in address or "@" in address:
        raise ValueError(
            f"brokers: {_shown(address)} is a URL; {EXAMPLE}, and what is before it as security_protocol,"
            " username and password"
        )
    host, port = _bracketed(address) if address.startswith("[") else _named(address)
    return f"{host}:{_port(address, host, port)}"


def _bracketed(address: str) -> tuple[str, str]:
    match = BRACKETED.fullmatch(address)
    try:
        if match is None:
            raise AddressValueError
        return f"[{IPv6Address(match[1])}]", match[2] or ""
    except AddressValueError:
        raise ValueError(f"brokers: {_shown(address)} is not of the form '[IPV6]:PORT', such as '[::1]:9092'") from None


def _named(address: str) -> tuple[str, str]:
    host, _, port = address.partition(":")
    if ":" in port:
        raise ValueError(f"brokers: {_shown(address)} has several colons; {_remedy_for_colons(address)}")
    if not host:
        raise ValueError(f"brokers: {_shown(address)} has no host; {EXAMPLE}")
    if not HOST_NAME.fullmatch(host) or not _is_encodable(host):
        raise ValueError(f"brokers: {_shown(address)} has a host that no machine can have; {EXAMPLE}")
    return host, port


def _remedy_for_colons(address: str) -> str:
    host, _, port = address.rpartition(":")
    for ipv6, of_port in ((host, port if SHOWN_PORT.fullmatch(port) else USUAL_PORT), (address, USUAL_PORT)):
        try:
            return f"write '[{IPv6Address(ipv6)}]:{of_port}'"
        except AddressValueError:
            continue
    return EXAMPLE


def _is_encodable(host: str) -> bool:
    """Tell whether a name can be looked up: no part of it is longer than 63 bytes."""
    try:
        return len(host.encode("idna")) <= LONGEST_NAME
    except UnicodeError:
        return False


def _port(address: str, host: str, port: str) -> int:
    if not port:
        usual = f"write '{host}:{USUAL_PORT}' if it is Kafka's usual one"
        remedy = f"did you mean {EMBEDDED!r}?" if get_close_matches(host, [EMBEDDED], cutoff=0.75) else usual
        raise ValueError(f"brokers: {_shown(address)} has no port; {remedy}")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:9]) <= LAST_PORT):
        raise ValueError(f"brokers: the port of {_shown(address)} is not a number from 1 to {LAST_PORT}; {EXAMPLE}")
    return int(port)


def _shown(address: str) -> str:
    """Return the host of an address and its port if that is a number: all else may be a user and a password."""
    before, _, place = address.rpartition("@")
    scheme, mark, place = place.rpartition("://")
    host, *ports = place.split(":")
    shown = ":".join([host, *(port if SHOWN_PORT.fullmatch(port) else "…" for port in ports)])
    return repr(f"{'***@' if before else ''}{scheme}{mark}{shown}")[:80]
