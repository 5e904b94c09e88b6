"""The errors of the platform, drawn once.

    PlatformError          what happened, where, and what to do about it
      Transient            an outage: the same request may succeed later; retried with backoff
      Permanent            the same request will fail again; somebody has to change something

A bug is neither: it is raised as what it is, crashes its agent, and the supervisor starts a fresh one.
"""

from __future__ import annotations

from dataplatform.redaction import redacted

__all__ = ["Permanent", "PlatformError", "Transient"]


class PlatformError(Exception):
    """An expected failure: a short code, a sentence without secrets, and the remedy where one is known.

    `of_question` tells that only this request meets it, so that it says nothing of the health of whoever was asked. It
    is a remark on the error, and no part of what makes two of them equal.

    >>> str(Permanent("not_found", "coin 'bitcoinn' is unknown", remedy="see get_available_tickers"))
    "not_found: coin 'bitcoinn' is unknown; see get_available_tickers"
    """

    def __init__(self, code: str, message: str, *, remedy: str = "", of_question: bool = False) -> None:
        message = redacted(message)
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.of_question = of_question

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlatformError) and type(self) is type(other) and self._content == other._content

    def __hash__(self) -> int:
        return hash((type(self), self.code, self.message))

    @property
    def _content(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "of_question"}


class Transient(PlatformError):
    """An outage. `retry_after` is the other side's own wish, in seconds, where it stated one.

    >>> Transient("rate_limited", "CoinGecko answered 429", retry_after=30.0).retry_after
    30.0
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        remedy: str = "",
        retry_after: float | None = None,
        of_question: bool = False,
    ) -> None:
        super().__init__(code, message, remedy=remedy, of_question=of_question)
        self.retry_after = retry_after


class Permanent(PlatformError):
    """A request that will fail again as it stands; others may well succeed.

    >>> Permanent("unsupported", "a topic has no tickers").code
    'unsupported'
    """

    def __init__(self, code: str, message: str, *, remedy: str = "", of_question: bool = True) -> None:
        super().__init__(code, message, remedy=remedy, of_question=of_question)
