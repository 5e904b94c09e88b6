"""The errors of the platform, drawn once.

    PlatformError          what happened, where, and what to do about it
      Transient            an outage: the same request may succeed later; retried with backoff
      Permanent            the same request will fail again; somebody has to change something

A bug is neither: it is raised as what it is, crashes its agent, and the supervisor starts a fresh one.
"""

from __future__ import annotations

from http import HTTPStatus

from dataplatform.redaction import redacted

__all__ = ["Permanent", "PlatformError", "Transient", "of_status"]


class PlatformError(Exception):
    """An expected failure: a short code, a sentence without secrets, and the remedy where one is known.

    >>> str(Permanent("not_found", "coin 'bitcoinn' is unknown", remedy="see get_available_tickers"))
    "not_found: coin 'bitcoinn' is unknown; see get_available_tickers"
    """

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        message = redacted(message)
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), self.code, self.message))


class Transient(PlatformError):
    """An outage. `retry_after` is the other side's own wish, in seconds, where it stated one.

    >>> Transient("rate_limited", "CoinGecko answered 429", retry_after=30.0).retry_after
    30.0
    """

    def __init__(self, code: str, message: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(code, message, remedy=remedy)
        self.retry_after = retry_after


class Permanent(PlatformError):
    """A request that will fail again as it stands.

    >>> Permanent("unsupported", "a topic has no tickers").code
    'unsupported'
    """


def of_status(
    status: int,
    what: str,
    *,
    blocked: bool = False,
    retry_after: float | None = None,
    key: str = "check the API key",
    rate: str = "ask less often, or use an API key with a higher limit",
) -> PlatformError:
    """Turn an HTTP status that is no success into an error, the same whoever met it.

    `what` says who answered it to what. `blocked` tells that the answer was the page of something in between that
    keeps programs away. `key` and `rate` are what to do about a key that is refused and about asking too often.

    >>> of_status(404, "https://api.example/coins/tulip answered 404").code
    'not_found'
    """
    match status:
        case 403 | 429 | 503 if blocked:
            remedy = "wait; if it lasts, ask less often, with an API key or from another address"
            return Transient("blocked", what, remedy=remedy, retry_after=retry_after)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Transient("rate_limited", what, remedy=rate, retry_after=retry_after)
        case HTTPStatus.REQUEST_TIMEOUT:
            return Transient("timeout", what, retry_after=retry_after)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Transient("server_error", what, retry_after=retry_after)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Permanent("unauthorized", what, remedy=key)
        case HTTPStatus.NOT_FOUND:
            return Permanent("not_found", what)
        case _:
            return Permanent("bad_request", what)
