"""How a supervisor is told about a child, how children are linked, and what linked ones are told of each other."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from dataplatform.base.agent.directory import Address

if TYPE_CHECKING:
    import pykka

    from dataplatform.base.agent.context import Context

__all__ = ["ChildSpec", "Link", "PeerJoined", "PeerRestarted", "Restart", "RestartLimit", "Strategy"]


class Restart(StrEnum):
    """When a dead child is started again: always, only after a crash, or never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Who is restarted with a crashed child: nobody, all its siblings, or those that were started after it."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


@frozen
class RestartLimit:
    """How many restarts a supervisor makes (`restarts`) `within` so many seconds; beyond it gives up. OTP's intensity.

    >>> RestartLimit()
    RestartLimit(restarts=5, within=30.0)
    """

    restarts: int = 5
    within: float = 30.0


@frozen
class ChildSpec:
    """A child: its name, how to start one incarnation of it, and what is promised about its times (seconds).

    Children of one `stage` start and stop together; a stage starts when the ones below it are ready, and stops
    before them. Usually made by `Agent.child`.

    >>> ChildSpec("reader", lambda context: ..., stage=1, restart="transient").restart
    <Restart.TRANSIENT: 'transient'>
    """

    name: str
    factory: Callable[[Context], pykka.ActorRef[Any]]
    kind: str = "service"
    stage: int = 0
    restart: Restart = field(default=Restart.PERMANENT, converter=Restart)
    start_timeout: float = 60.0
    drain_timeout: float = 4.0
    shutdown_timeout: float = 5.0


@frozen
class Link:
    """Two children that are told of each other: `upstream` gives, `downstream` takes.

    >>> Link("coingecko", "crypto-prices").downstream
    'crypto-prices'
    """

    upstream: str
    downstream: str


@frozen
class PeerJoined:
    """A linked agent runs: it stands `downstream` (takes from this one) or upstream (gives to it)."""

    peer: Address
    downstream: bool


@frozen
class PeerRestarted:
    """A linked agent died and runs again: what it had in hand is lost."""

    name: str
