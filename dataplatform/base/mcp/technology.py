"""MCP servers as a kind of client."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import evolve

from dataplatform.base.agent import ChildSpec, Request
from dataplatform.base.mcp.client import McpClient
from dataplatform.base.mcp.messages import ServerInfo
from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.technology import Technology, Web

__all__ = ["McpTechnology"]


def _url(settings: McpSettings) -> str | None:
    return settings.url


def _settings_at(settings: McpSettings, url: str) -> McpSettings:
    return evolve(settings, transport="http", url=url, headers={}, command=None, args=(), env={})


class McpTechnology(Technology):
    """A server of the Model Context Protocol: by HTTP, SSE, or as a program that the client starts."""

    title: ClassVar[str] = "MCP"
    Options = McpSettings
    place: ClassVar[str] = "kind"
    remedy: ClassVar[str] = "check url, or command and args, and that this machine may reach it"
    abilities: ClassVar[tuple[object, ...]] = (Web(_url, _settings_at),)

    @classmethod
    def agents(cls, name: str, settings: McpSettings, *, written: bool) -> tuple[ChildSpec, ...]:
        del written
        return (McpClient.child(name, settings),)

    @classmethod
    def sign_of_life(cls) -> Request[Any]:
        return ServerInfo()

    @classmethod
    def program_timeout(cls, settings: McpSettings) -> float | None:
        return None if settings.command is None else settings.longest
