"""Seals: what a position says of the log it is of, so that another log is not taken for that one."""

from __future__ import annotations

from typing import Self

from attrs import evolve, frozen

__all__ = ["NOTHING", "Seal"]


@frozen
class Seal:
    """The log's number and where it parted from the one before, and the fingerprint `mark` of a message at `offset`.

    The message is the last one before the position; where none is known there is no mark. Written as
    `OFFSET:MARK:LOG:PARTED`, of which the last two are left out for the first log.

    >>> str(Seal(41, 1234)), Seal.parse("41:1234:1:30").log
    ('41:1234', 1)
    >>> Seal.parse("of another program") == Seal()
    True
    """

    offset: int | None = None
    mark: int | None = None
    log: int = 0
    parted: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a seal; text that other programs have written there says nothing."""
        parts = [int(part) if part.isdecimal() else None for part in text.split(":")]
        if len(parts) not in {2, 4} or None in parts[2:] or (parts[0] is None) != (parts[1] is None):
            return cls()
        return cls(*parts)  # type: ignore[arg-type]  # the last two are numbers

    def __str__(self) -> str:
        message = "" if self.offset is None else f"{self.offset}:{self.mark}"
        return f"{message or ':'}:{self.log}:{self.parted}" if self.log else message

    def next_log(self, parted: int) -> Seal:
        """Return what begins where another log is found, which is as this one up to an offset."""
        return Seal(log=self.log + 1, parted=parted)

    def of(self, offset: int | None, mark: int | None) -> Seal:
        """Return the seal of another message of the same log."""
        return evolve(self, offset=offset, mark=mark)


NOTHING = Seal()
