"""HTTP servers as a kind of client."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import evolve

from dataplatform.base.agent import ChildSpec, Request
from dataplatform.base.http.client import HttpClient
from dataplatform.base.http.messages import Get, Response
from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.technology import Technology, Web

__all__ = ["HttpTechnology"]


def _url(settings: HttpSettings) -> str:
    return settings.base_url


def _settings_at(settings: HttpSettings, url: str) -> HttpSettings:
    return evolve(settings, base_url=url, headers={}, api_key=None, rate_per_minute=None)


class HttpTechnology(Technology):
    """A server that is asked by HTTP, one request after the other."""

    title: ClassVar[str] = "HTTP"
    Options = HttpSettings
    place: ClassVar[str] = "base_url"
    remedy: ClassVar[str] = "check base_url, and that this machine may reach it"
    abilities: ClassVar[tuple[object, ...]] = (Web(_url, _settings_at),)

    @classmethod
    def agents(cls, name: str, settings: HttpSettings, *, written: bool) -> tuple[ChildSpec, ...]:
        del written
        return (HttpClient.child(name, settings),)

    @classmethod
    def sign_of_life(cls) -> Request[Response]:
        return Get("/ping")

    @classmethod
    def rate_per_minute(cls, settings: Any) -> float | None:
        rate: float | None = settings.rate_per_minute
        return rate
