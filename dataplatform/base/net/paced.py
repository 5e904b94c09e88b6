"""Requests that take turns: each says who asks, and how long he waits for its turn under a client's rate limit."""

from __future__ import annotations

from typing import TypeVar

from attrs import field, frozen

from dataplatform.base.agent import Request

__all__ = ["Paced"]

T = TypeVar("T")


@frozen
class Paced(Request[T]):
    """A request to a client that sends so many at a time, and so many a minute.

    Those `of_route`, with which the platform's own feeds read, come before questions from outside, and have a share of
    the client's rate. `patience` is how many seconds the request may wait for its turn under that rate.
    """

    of_route: bool = field(default=False, kw_only=True)
    patience: float = field(default=0.0, kw_only=True)
