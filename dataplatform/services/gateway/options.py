"""What an MCP server is told: where it listens, who may do what, and how much of it."""

from __future__ import annotations

import re
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from attrs import Attribute, field, frozen, validators

from dataplatform.dsl.records.rules import texts
from dataplatform.services.gateway.operations import RIGHTS
from dataplatform.services.service import ServiceOptions

__all__ = ["GatewayOptions", "TokenOptions", "digest", "is_loopback"]

DIGEST = re.compile(r"[0-9a-f]{64}")


def digest(token: str) -> str:
    """Return the SHA-256 of a token as a topology holds it, in hexadecimal.

    >>> digest("secret")[:8]
    '2bb80d53'
    """
    return sha256(token.encode()).hexdigest()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches the address.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not DIGEST.fullmatch(value):
        raise ValueError(f"{attribute.name}: expected 64 hexadecimal digits, as `mcp token` prints them")


def _rights(_: Any, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    if not value or (unknown := [right for right in value if right not in RIGHTS]):
        raise ValueError(f"{attribute.name}: {unknown[0]!r} is no right; there are {', '.join(RIGHTS)}" if value
                         else f"{attribute.name}: a token without any right is of no use")  # fmt: skip


@frozen(kw_only=True)
class TokenOptions:
    """A bearer token by its hash: who has it, what it allows, and how often."""

    name: str = field(validator=validators.matches_re(r"[\w.-]{1,63}"), metadata={"help": "who has it, for the log"})
    sha256: str = field(validator=_digest, repr=False, metadata={"help": "the token's SHA-256, see `mcp token`"})
    rights: tuple[str, ...] = field(
        default=("read",),
        converter=texts,
        validator=_rights,
        metadata={"help": "read: data; write: publish_… and run_pipe; operate: status, lag, dead_letters"},
    )
    rate_per_minute: float = field(
        default=600.0, validator=validators.gt(0.0), metadata={"help": "requests a minute, of all kinds"}
    )


@frozen(kw_only=True)
class GatewayOptions(ServiceOptions):
    """Options of `kind = "gateway"` under `[services.NAME]`. Times in seconds, sizes in bytes.

    Without tokens whoever reaches the server has all rights, so other machines may reach it with tokens only.
    """

    transport: str = field(
        default="http",
        validator=validators.in_(("http", "stdio")),
        metadata={"help": "http, or stdio for a client that starts the platform itself (the command `mcp`)"},
    )
    host: str = field(
        default="127.0.0.1", validator=validators.min_len(1), metadata={"help": "the address to listen on"}
    )
    port: int = field(
        default=8765, validator=validators.in_(range(65_536)), metadata={"help": "the port; 0 takes a free one"}
    )
    tokens: tuple[TokenOptions, ...] = field(default=(), metadata={"help": "who may use the server over HTTP"})
    allowed_hosts: tuple[str, ...] = field(
        default=(), converter=texts, metadata={"help": "names that clients reach it by, besides `host` and loopback"}
    )
    allowed_origins: tuple[str, ...] = field(
        default=(), converter=texts, metadata={"help": "web pages that may use it, as https://page.example"}
    )
    allow_writes: bool = field(default=False, metadata={"help": "offer publish_… and run_pipe too"})
    readers: int | None = field(
        default=None,
        validator=validators.optional(validators.in_(range(1, 65))),
        metadata={"help": "without effect, and goes with the next release: sources answer several questions at once"},
    )
    timeout: float = field(
        default=30.0, validator=[validators.ge(0.1), validators.le(600.0)], metadata={"help": "for one call"}
    )
    max_items: int = field(
        default=500, validator=validators.in_(range(1, 10_001)), metadata={"help": "ids or records a call may name"}
    )
    max_answer: int = field(
        default=20_000,
        validator=validators.ge(1),
        metadata={"help": "ids or records that an answer may hold where a caller wants all of them"},
    )
    max_answer_size: int = field(
        default=25_000,
        validator=validators.ge(4_000),
        metadata={"help": "the size of an answer, unless a caller wants all of it: thinned or cut to it, and said so"},
    )
    max_body: int = field(
        default=1024 * 1024, validator=validators.ge(1024), metadata={"help": "the largest request over HTTP"}
    )
    max_sessions: int = field(
        default=200, validator=validators.ge(1), metadata={"help": "clients, and their subscriptions, at a time"}
    )
    watch_every: float | None = field(
        default=None,
        validator=validators.optional(validators.ge(0.1)),
        metadata={"help": "how often subscribed prices are read; by default 1s, less often at a source with a rate"},
    )
    notifications_per_second: float = field(
        default=10.0, validator=validators.gt(0.0), metadata={"help": "sent to one client; prices that wait are joined"}
    )

    def __attrs_post_init__(self) -> None:
        names = [token.name for token in self.tokens]
        if len(set(names)) < len(names):
            raise ValueError("two tokens have one name, by which the log tells them apart")
        if self.transport == "http" and not self.tokens and not is_loopback(self.host):
            raise ValueError(f"other machines reach {self.host}, so tokens are required; `mcp token` makes one")
