"""What a kind of client brings along: its settings, its agents, a sign of life, and what can be done through it.

An entry point of the group `dataplatform.clients` names a class that extends `Technology`; the entry point's name is
the `kind` of such clients in a topology.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from attrs import frozen

from dataplatform.base.agent import ChildSpec, Request

__all__ = ["Embedded", "Technology", "Web"]

A = TypeVar("A")


class Technology:
    """A kind of client. Everything is asked of the class; there are no instances.

    A subclass MUST say `title` (as people call it), `Options` (the attrs class of its settings), `place` (the setting
    that says where the server is) and `remedy` (what to do when it cannot be reached), and write `agents` and
    `sign_of_life`. It MAY have `abilities`, such as `Topics` of `base.streaming`, `Tables` of `base.database`, and
    `Embedded` and `Web` of this module: an ability that it does not list it does not have.
    """

    title: ClassVar[str]
    Options: ClassVar[type[Any]]
    place: ClassVar[str]
    remedy: ClassVar[str]
    abilities: ClassVar[tuple[object, ...]] = ()

    @classmethod
    def agents(cls, name: str, settings: Any, *, written: bool) -> tuple[ChildSpec, ...]:
        """Return the agents of the client called `name`; `written` says that targets write through it.

        Targets take turns with them, sources ask the first unless they bring a client of their own. There is at least
        one where `written`.
        """
        raise NotImplementedError

    @classmethod
    def sign_of_life(cls) -> Request[Any]:
        """Return what the first agent is asked to learn whether the server can be reached; it changes nothing there."""
        raise NotImplementedError

    @classmethod
    def rate_per_minute(cls, settings: Any) -> float | None:
        """Return how often a minute the server may be asked; None where the client sets no limit."""
        del settings
        return None

    @classmethod
    def program_timeout(cls, settings: Any) -> float | None:
        """Return how many seconds a server may take to start that the client runs as a program; None where it does not.

        What such a program says when it cannot start is an error of whoever wants it; it is not waited for.
        """
        del settings
        return None

    @classmethod
    def ability(cls, kind: type[A]) -> A | None:
        """Return the technology's ability of this kind; None where it has none."""
        return next((one for one in cls.abilities if isinstance(one, kind)), None)


@frozen
class Embedded:
    """The ability to use a server that the platform starts, where the settings say so.

    - `server`: the name of the server's agent; clients that name the same share it
    - `wanted(settings)`: whether a client asks for it
    - `package()`: the distribution that it needs here, None where it needs none
    - `address(data_dir, port)`: where it listens, the same before, during and after a run; `port` is what the
      topology says, if anything
    - `is_running(data_dir)`: whether a server of that directory runs already
    - `child(data_dir, address)`: its agent
    - `settings_at(settings, address)`: the settings of a client that is led there
    """

    server: str
    wanted: Callable[[Any], bool]
    package: Callable[[], str | None]
    address: Callable[[Path, int | None], str]
    is_running: Callable[[Path], bool]
    child: Callable[[Path, str], ChildSpec]
    settings_at: Callable[[Any, str], Any]


@frozen
class Web:
    """The ability to ask another server by its URL, such as a simulator.

    - `url(settings)`: whom a client asks; None where that is no URL
    - `settings_at(settings, url)`: the settings of a client that asks there, without keys, headers and limits
    """

    url: Callable[[Any], str | None]
    settings_at: Callable[[Any, str], Any]
