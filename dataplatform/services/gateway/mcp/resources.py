"""Resources: the latest price of each coin, to which a client may subscribe; the topology; the schemas of records."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.types import (
    INVALID_PARAMS,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from dataplatform.dsl.kinds import kinds
from dataplatform.dsl.schema import to_json
from dataplatform.dsl.schemas import schema_text
from dataplatform.result import Failure
from dataplatform.services.gateway.mcp.watching import PRICE, Watcher, coin_of, refused
from dataplatform.services.gateway.status import Overview

__all__ = ["Resources"]

TOPOLOGY = "platform://topology"
SCHEMA = "schema://"
JSON = "application/json"


@define(eq=False)
class Resources:
    """Lists and reads resources; `watcher` is missing where no source answers prices."""

    overview: Overview
    watcher: Watcher | None
    _schemas: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._schemas = {kind.name: schema_text(kind) for kind in kinds()}

    async def list(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """Return the resources that there always are."""
        del context, params
        topology = Resource(
            uri=TOPOLOGY,
            name="topology",
            mime_type=JSON,
            description="The sources, targets and routes of the platform.",
        )
        schemas = [
            Resource(uri=f"{SCHEMA}{name}", name=f"schema of {name}", mime_type=JSON, description="A JSON Schema.")
            for name in self._schemas
        ]
        return ListResourcesResult(resources=[topology, *schemas])

    async def list_templates(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """Return what stands for a resource of each coin."""
        del context, params
        said = "The latest price of a coin, such as price://bitcoin. Subscribe to it to be told when it changes."
        price = ResourceTemplate(uri_template=f"{PRICE}{{coin_id}}", name="price", mime_type=JSON, description=said)
        return ListResourceTemplatesResult(resource_templates=[price] if self.watcher else [])

    async def read(
        self, context: ServerRequestContext[Any, Any], params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """Return a resource as JSON."""
        del context
        text = await self._text(params.uri)
        return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, mime_type=JSON, text=text)])

    async def _text(self, uri: str) -> str:
        if uri == TOPOLOGY:
            return json.dumps(to_json(self.overview.places()))
        if uri.startswith(SCHEMA) and (found := self._schemas.get(uri.removeprefix(SCHEMA))):
            return found
        if self.watcher is None or not uri.startswith(PRICE):
            raise MCPError(INVALID_PARAMS, f"there is no resource {uri!r:.100}; see resources/list")
        answer = await self.watcher.price(coin_of(uri))
        if isinstance(answer, Failure):
            raise refused(answer.error)
        return json.dumps(to_json(answer.data))
