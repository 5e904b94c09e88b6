"""Why TimescaleDB answers nothing: what there is instead, so that an answer never says less than the tables."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from dataplatform.base.database import Rows
from dataplatform.dsl.operations.answers import no_candles, unknown_coin
from dataplatform.dsl.records.timeframes import length
from dataplatform.errors import Permanent

__all__ = ["Absence", "hidden_note", "only_hidden", "read_there_is"]

LABELS = {True: "simulated", False: "real"}


@frozen
class Absence:
    """Some coins of which nothing was found, and what there is of them: prices, and candles of these timeframes.

    `hidden` are those with rows of the other label, which this source does not answer from.
    """

    source: str
    coins: Sequence[str]
    simulated: bool
    prices: bool
    timeframes: tuple[str, ...]
    hidden: tuple[str, ...]

    @property
    def _named(self) -> str:
        return _named(self.coins)

    def of_prices(self) -> Permanent:
        """Return why there is no price."""
        if self.timeframes or self.prices:
            there = f"; there are candles of {', '.join(self.timeframes)}" if self.timeframes else ""
            return Permanent("not_found", f"{self.source} has no such price of {self._named}{there}")
        return self._of_coin()

    def of_candles(self, interval: str) -> Permanent:
        """Return why there is no candle of an interval."""
        if self.prices:
            text = f"{self.source} has no complete candle of {interval} of {self._named}: its prices are too few or old"
            stored = f"there are candles of {', '.join(self.timeframes)}" if self.timeframes else ""
            return Permanent("not_found", text, remedy=stored or "ask for a shorter interval, or an earlier range")
        if self.timeframes:
            return no_candles(self.source, interval, self.coins, self.timeframes)
        return self._of_coin()

    def note(self) -> tuple[str, ...]:
        """Return what is to be said of these coins beside an answer about others."""
        return (hidden_note(self.source, _named(self.hidden), simulated=self.simulated),) if self.hidden else ()

    def _of_coin(self) -> Permanent:
        if self.hidden:
            return only_hidden(self.source, _named(self.hidden), simulated=self.simulated)
        return unknown_coin(", ".join(self.coins), self.source)


def only_hidden(source: str, what: str, *, simulated: bool) -> Permanent:
    """Return the error of rows that are there and not answered, because they are simulated where real ones are wanted.

    >>> str(only_hidden("history", "'bitcoin'", simulated=False))
    "not_found: history has only simulated rows of 'bitcoin'; set simulated = true under [sources.history] to read them"
    """
    text = f"{source} has only {LABELS[not simulated]} rows of {what}"
    setting = f"simulated = {'false' if simulated else 'true'}"
    return Permanent("not_found", text, remedy=f"set {setting} under [sources.{source}] to read them")


def hidden_note(source: str, what: str, *, simulated: bool) -> str:
    """Return the same as a note of an answer that has something else to say."""
    error = only_hidden(source, what, simulated=simulated)
    return f"{error.message}; {error.remedy}"


def read_there_is(rows: Rows, source: str, coins: Sequence[str], *, simulated: bool) -> Absence:
    """Return what the statement `there_is` found."""
    ((priced, timeframes, others),) = rows.rows
    hidden = tuple(coin for coin in coins if coin in set(others or ()) - set(priced or ()))
    return Absence(source, coins, simulated, bool(priced), tuple(sorted(timeframes or (), key=length)), hidden)


def _named(coins: Sequence[str]) -> str:
    return ", ".join(map(repr, coins))
