"""The answers CoinGecko gives instead of data: statuses and bodies, in each of their shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeAlias

__all__ = [
    "Json",
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
