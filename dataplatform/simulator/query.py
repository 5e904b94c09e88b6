"""The parameters of one request, read as CoinGecko reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import frozen

from dataplatform.simulator import refusals
from dataplatform.simulator.coins import Coin
from dataplatform.simulator.currencies import CURRENCIES
from dataplatform.simulator.market import DAY, HOUR, Market, UnknownCoinError

__all__ = ["Query"]

_HISTORY_DAYS = 365
_BEGINNING = 1_367_107_200.0  # 2013-04-28, before which nothing is known


@frozen
class Query:
    """One request: the market, the Unix time of its latest refresh, and the parameters of path and query string.

    `paid` tells that it is made with the key of a paid plan.
    """

    market: Market
    seconds: float
    parameters: Mapping[str, str]
    paid: bool = False

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a yes or no; anything but `true` is a no."""
        return self.parameters.get(name, str(default)).lower() == "true"

    def words(self, name: str) -> list[str]:
        """Return a comma-separated list without blanks and repetitions."""
        words = (word.strip() for word in self.parameters.get(name, "").split(","))
        return list(dict.fromkeys(word for word in words if word))

    def required(self, name: str) -> str:
        """Return a parameter that has to be there."""
        if value := self.parameters.get(name, "").strip():
            return value
        raise refusals.missing_parameter(name)

    def whole(self, name: str, default: int, most: int = 10**6) -> int:
        """Return a number from 1 to `most`; what is no such number is taken as the nearest one, or as the default."""
        try:
            return min(max(1, int(self.parameters.get(name, default))), most)
        except ValueError:
            return default

    def coin(self) -> Coin:
        """Return the coin named in the path."""
        try:
            return self.market.coin(self.parameters["id"])
        except UnknownCoinError:
            raise refusals.coin_not_found() from None

    def currency(self) -> str:
        """Return the currency to count in."""
        code = self.required("vs_currency").lower()
        if code not in CURRENCIES:
            raise refusals.invalid_currency()
        return code

    def days(self) -> float:
        """Return how many days of history are asked for; more than a year is for paying customers."""
        text = self.required("days")
        try:
            days = math.inf if text == "max" else float(text)
        except ValueError:
            days = math.nan
        if not days > 0:
            raise refusals.bad_request("invalid days")
        if days > _HISTORY_DAYS and not self.paid:
            raise refusals.history_too_old(self.market.now())
        return min(days, (self.seconds - _BEGINNING) / DAY)

    def interval(self, *choices: str, free: tuple[str, ...] = ()) -> str:
        """Return the spacing asked for, none where that is left to CoinGecko; those not free are for paying ones."""
        interval = self.parameters.get("interval", "")
        if interval in ("", *free):
            return interval
        if not self.paid:
            raise refusals.paid_only()
        if interval not in choices:
            raise refusals.bad_request("invalid interval")
        return interval

    def since_and_until(self) -> tuple[float, float]:
        """Return the range of history asked for, in Unix seconds.

        A year ago is meant with an hour's grace, because the client read its clock before the server read this one.
        """
        since, until = _unix_time(self.required("from")), _unix_time(self.required("to"))
        if not since <= until < math.inf:
            raise refusals.bad_request("invalid date range")
        if since < self.seconds - _HISTORY_DAYS * DAY - HOUR and not self.paid:
            raise refusals.history_too_old(self.market.now())
        return max(since, _BEGINNING), until


def _unix_time(text: str) -> float:
    """Read Unix seconds or an ISO date, which is UTC unless it says otherwise."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refusals.bad_request("invalid date range") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
