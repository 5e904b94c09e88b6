"""One request: its parameters as CoinGecko reads them, and the answers it gives instead of data.

The parameters of one request, read as CoinGecko reads them. The answers CoinGecko gives instead of data: statuses and
bodies, in each of their shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from attrs import frozen

from dataplatform.simulator.coins import Coin
from dataplatform.simulator.currencies import CURRENCIES
from dataplatform.simulator.market import DAY, HOUR, Market, UnknownCoinError

__all__ = [
    "Json",
    "Query",
    "RefusedError",
    "bad_request",
    "coin_not_found",
    "exchange_not_found",
    "history_too_old",
    "invalid_currency",
    "key_missing",
    "missing_parameter",
    "paid_only",
    "rate_limited",
    "server_error",
    "unknown_path",
]

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
        raise missing_parameter(name)

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
            raise coin_not_found() from None

    def currency(self) -> str:
        """Return the currency to count in."""
        code = self.required("vs_currency").lower()
        if code not in CURRENCIES:
            raise invalid_currency()
        return code

    def days(self) -> float:
        """Return how many days of history are asked for; more than a year is for paying customers."""
        text = self.required("days")
        try:
            days = math.inf if text == "max" else float(text)
        except ValueError:
            days = math.nan
        if not days > 0:
            raise bad_request("invalid days")
        if days > _HISTORY_DAYS and not self.paid:
            raise history_too_old(self.market.now())
        return min(days, (self.seconds - _BEGINNING) / DAY)

    def interval(self, *choices: str, free: tuple[str, ...] = ()) -> str:
        """Return the spacing asked for, none where that is left to CoinGecko; those not free are for paying ones."""
        interval = self.parameters.get("interval", "")
        if interval in ("", *free):
            return interval
        if not self.paid:
            raise paid_only()
        if interval not in choices:
            raise bad_request("invalid interval")
        return interval

    def since_and_until(self) -> tuple[float, float]:
        """Return the range of history asked for, in Unix seconds.

        A year ago is meant with an hour's grace, because the client read its clock before the server read this one.
        """
        since, until = _unix_time(self.required("from")), _unix_time(self.required("to"))
        if not since <= until < math.inf:
            raise bad_request("invalid date range")
        if since < self.seconds - _HISTORY_DAYS * DAY - HOUR and not self.paid:
            raise history_too_old(self.market.now())
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
        raise bad_request("invalid date range") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


Json: TypeAlias = dict[str, Any] | list[Any]

_PRICING = "https://www.coingecko.com/en/api/pricing"


class RefusedError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status.
        body: the JSON body, in the shape CoinGecko gives this error.

    """

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def coin_not_found() -> RefusedError:
    return RefusedError(404, {"error": "coin not found"})


def exchange_not_found() -> RefusedError:
    return RefusedError(404, {"error": "exchange not found"})


def unknown_path() -> RefusedError:
    return RefusedError(404, {"error": "Incorrect path. Please check https://www.coingecko.com/api/"})


def invalid_currency() -> RefusedError:
    return RefusedError(400, {"error": "invalid vs_currency"})


def bad_request(sentence: str) -> RefusedError:
    return RefusedError(400, {"error": sentence})


def missing_parameter(name: str) -> RefusedError:
    return RefusedError(422, {"error": f"Missing parameter {name}"})


def history_too_old(now: datetime) -> RefusedError:
    """Return the refusal of history from over 365 days ago; this one is nested one level deeper than the others."""
    message = (
        "Your request exceeds the allowed time range. Public API users are limited to querying historical data within "
        f"the past 365 days. Upgrade to a paid plan to enjoy full historical data access: {_PRICING}. "
    )
    return RefusedError(401, {"error": {"status": _timed(now, 10012, message)}})


def key_missing(now: datetime) -> RefusedError:
    message = (
        "API Key Missing. Please make sure you're using the right authentication method. "
        "For Pro API, please visit: https://docs.coingecko.com/reference/authentication."
    )
    return RefusedError(401, {"status": _timed(now, 10002, message)})


def paid_only() -> RefusedError:
    message = (
        "This request is limited to PRO API subscribers. "
        f"Please visit {_PRICING} to subscribe to our API plans to access this exclusive endpoint."
    )
    return RefusedError(401, {"status": {"error_code": 10005, "error_message": message}})


def rate_limited() -> RefusedError:
    message = (
        f"You've exceeded the Rate Limit. Please visit {_PRICING} to subscribe to our API plans for higher rate limits."
    )
    return RefusedError(429, {"status": {"error_code": 429, "error_message": message}})


def server_error(status: int) -> RefusedError:
    return RefusedError(status, {"status": {"error_code": status, "error_message": "Internal Server Error"}})


def _timed(now: datetime, code: int, message: str) -> dict[str, Any]:
    timestamp = now.astimezone(UTC).isoformat(timespec="milliseconds")
    return {"timestamp": timestamp, "error_code": code, "error_message": message}
