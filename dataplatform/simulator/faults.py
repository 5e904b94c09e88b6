"""What can go wrong on purpose: the faults, and the registry that says which request meets one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import Attribute, asdict, define, field, fields_dict, frozen, validators

__all__ = ["MCP_PREFIX", "PREFIX", "ArmedFault", "Fault", "FaultKind", "Faults", "fault_from_json"]

PREFIX: Final = "/api/v3"
MCP_PREFIX: Final = "/mcp"

FaultKind: TypeAlias = Literal[
    "rate_limited",
    "server_error",
    "slow",
    "cut",
    "malformed_json",
    "html",
    "unauthorized",
    "changed_shape",
    "changed_tools",
    "not_found",
]
Shape: TypeAlias = Literal["wrapped", "strings"]

_STATUSES: Final[Mapping[str, tuple[int, ...]]] = {
    "rate_limited": (429,),
    "server_error": tuple(range(500, 600)),
    "html": (429, 403, 200, 503),
    "unauthorized": (401,),
    "not_found": (404,),
}
"""The statuses a kind of fault can have, the default first; the other kinds leave the status as it is."""


def _path(path: str) -> str:
    return "/" + path.removeprefix(PREFIX).strip("/")


def _whole_from(least: int) -> Callable[[Any, Attribute[Any], Any], Any]:
    return validators.and_(validators.instance_of(int), validators.ge(least))


@frozen
class Fault:
    """One way to answer wrongly, for `times` requests under `path` or until it is cleared.

    >>> Fault("rate_limited", path="/coins", times=2, retry_after=7).status
    429

    Attributes:
        kind: `rate_limited` (429 with Retry-After), `server_error`, `slow` (the right answer, `delay` seconds late),
            `cut` (the connection ends in the middle of the body), `malformed_json`, `html` (a page of the kind
            Cloudflare puts before a site), `unauthorized` (401), `changed_shape` (JSON of another shape), `not_found`;
            `changed_tools` (an MCP server has the tools of the other generation).
        path: the beginning of the paths it is for, below `/api/v3`: `/coins` is for `/coins/markets` too. The MCP
            servers ask the same paths, and pass on how they are answered; `/mcp`, `/mcp/static` and `/mcp/code` are for
            the servers' own answers.
        times: how many requests meet it; None: all, until it is cleared.
        status: the HTTP status, for `server_error` any from 500 to 599, for `html` 429, 403, 503 or 200.
        retry_after: whole seconds in the Retry-After header of a 429.
        delay: seconds a slow answer waits.
        shape: what `changed_shape` does: `wrapped` puts arrays into an object and objects into an array, `strings`
            makes every number a string.

    """

    kind: FaultKind = field(validator=validators.in_(get_args(FaultKind)))
    path: str = field(default="/", converter=_path)
    times: int | None = field(default=None, validator=validators.optional(_whole_from(1)))
    status: int | None = field(kw_only=True)
    retry_after: int = field(default=30, kw_only=True, validator=_whole_from(0))
    delay: float = field(default=1.0, kw_only=True, validator=validators.instance_of((int, float)))
    shape: Shape = field(default="wrapped", kw_only=True, validator=validators.in_(get_args(Shape)))

    @status.default
    def _status_of_kind(self) -> int | None:
        return _STATUSES.get(self.kind, (None,))[0]

    @status.validator
    def _fits_the_kind(self, attribute: Attribute[int | None], value: int | None) -> None:
        del attribute
        allowed = _STATUSES.get(self.kind, (None,))
        if value not in allowed:
            raise ValueError(f"a fault {self.kind!r} cannot have status {value}: it has {_range(allowed)}")

    @delay.validator
    def _ends(self, attribute: Attribute[float], value: float) -> None:
        del attribute
        if not 0 <= value < math.inf:
            raise ValueError(f"delay is {value}: it must be a number of seconds from 0")

    def is_for(self, path: str) -> bool:
        """Tell whether requests of this path, below `/api/v3` or of an MCP server, meet the fault."""
        everything = self.path == "/" and not path.startswith(f"{MCP_PREFIX}/")
        return everything or path == self.path or path.startswith(f"{self.path}/")


def _range(allowed: tuple[int | None, ...]) -> str:
    return f"one from {allowed[0]} to {allowed[-1]}" if len(allowed) > 4 else " or ".join(map(str, allowed))  # noqa: PLR2004


def fault_from_json(document: object) -> Fault:
    """Return the fault that a JSON object describes by `Fault`'s attributes; a `ValueError` says what is wrong."""
    if not isinstance(document, dict) or "kind" not in document:
        raise ValueError('a fault is a JSON object such as {"kind": "rate_limited", "times": 2}')
    if unknown := sorted(document.keys() - fields_dict(Fault).keys()):
        raise ValueError(f"a fault has no {', '.join(map(repr, unknown))}: it has {', '.join(fields_dict(Fault))}")
    try:
        return Fault(**document)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a value of another type is needed: {error}") from error


@define(eq=False)
class ArmedFault:
    """A fault that is switched on.

    Attributes:
        fault: what it is.
        remaining: how many requests it is still for; None: all.
        cleared: set when it is switched off.
        met: set when a request has met it, so that a test can wait for that.

    """

    fault: Fault
    remaining: int | None
    cleared: threading.Event
    met: threading.Event = field(factory=threading.Event)

    def as_json(self) -> dict[str, Any]:
        return asdict(self.fault) | {"remaining": self.remaining}


class Faults:
    """The faults that are switched on; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[ArmedFault] = []
        self._cleared = threading.Event()

    def inject(self, fault: Fault) -> ArmedFault:
        """Switch a fault on, behind those that already are."""
        with self._lock:
            armed = ArmedFault(fault, fault.times, self._cleared)
            self._armed.append(armed)
        return armed

    def clear(self) -> int:
        """Switch all faults off, letting go of the requests that a slow one holds, and return how many there were."""
        with self._lock:
            cleared, self._armed = self._armed, []
            self._cleared.set()
            self._cleared = threading.Event()
        return len(cleared)

    def listed(self) -> list[ArmedFault]:
        """Return the faults that are on, in the order they were switched on."""
        with self._lock:
            return list(self._armed)

    def meet(self, path: str) -> list[ArmedFault]:
        """Return what a request of this path meets, and count it: all slow faults, and the first of another kind."""
        with self._lock:
            met = [armed for armed in self._armed if armed.fault.is_for(path) and armed.fault.kind != "changed_tools"]
            slow = [armed for armed in met if armed.fault.kind == "slow"]
            others = [armed for armed in met if armed.fault.kind != "slow"]
            return self._met(slow + others[:1])

    def change_tools(self, path: str) -> bool:
        """Tell whether the MCP server of this path has the other generation's tools, and count one use of them."""
        with self._lock:
            met = [armed for armed in self._armed if armed.fault.is_for(path) and armed.fault.kind == "changed_tools"]
            return bool(self._met(met[:1]))

    def _met(self, applied: list[ArmedFault]) -> list[ArmedFault]:
        for armed in applied:
            armed.met.set()
            if armed.remaining is not None:
                armed.remaining -= 1
        self._armed = [armed for armed in self._armed if armed.remaining != 0]
        return applied
