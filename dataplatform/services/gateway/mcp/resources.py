"""Resources and prompts: the latest price of each coin, and questions ready to be put to a model.

Resources: the latest price of each coin, to which a client may subscribe; the topology; the schemas of records.
Prompts: questions that the tools answer together, ready to be put to a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)

from dataplatform.dsl.records import checks
from dataplatform.dsl.records.kinds import kinds
from dataplatform.dsl.records.schema import to_json
from dataplatform.dsl.storage.schemas import schema_text
from dataplatform.result import Failure
from dataplatform.services.gateway.mcp.failures import text_of
from dataplatform.services.gateway.mcp.subscriptions import PRICE, Watcher, coin_of, refused
from dataplatform.services.gateway.status import Overview

__all__ = ["Resources", "get_prompt", "list_prompts"]

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


MOST_COINS = 20


@frozen
class Recipe:
    """A prompt: what it is for, its text, and its one argument (a list of coin ids) where it takes one."""

    about: str
    text: str
    takes_coins: bool = False


RECIPES: Mapping[str, Recipe] = {
    "market_overview": Recipe(
        "The state of the crypto market now, in half a page.",
        "Give an overview of the crypto market. Call get_market_analytics, get_available_tickers with limit 10, and"
        " get_current_prices for those ids. Say: total market cap and its change in 24 h, the shares of bitcoin and"
        " ethereum, and the ten coins with price, 24 h change and volume as a table. Name the `source` of the data and"
        " its time; where `source` is `simulator`, say that the data is simulated. Invent no number: where a call"
        " fails, say what its error says.",
    ),
    "compare_coins": Recipe(
        "Several coins side by side: price, size, course of the last 30 days, spread.",
        "Compare these coins: {coins}. Call get_current_prices for all of them at once, and for each get_price_history"
        " with days 30 and get_level1_data. Make one table: price, market cap, 24 h and 7 d change, lowest and highest"
        " price in 30 days, spread in percent. Then say in three sentences what distinguishes them. Say where bid and"
        " ask are `estimated`, and leave a cell empty where a value is null. This is no investment advice.",
        takes_coins=True,
    ),
    "data_quality_report": Recipe(
        "Whether the platform's data can be relied on: what is late, degraded, missing or refused.",
        "Report on the quality of this platform's data. Call list_sources, status, lag and dead_letters. For each"
        " source and route say: is it running, how old is its newest data (get_current_price of bitcoin, lastUpdated),"
        " how many records wait, how many became dead letters. List degraded agents with their reason and next try,"
        " and incidents. Close with what a person should do, most urgent first; if nothing, say so.",
    ),
}
COINS = PromptArgument(name="coins", description="coin ids, with commas between: bitcoin,ethereum", required=True)


async def list_prompts(
    context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
) -> ListPromptsResult:
    """Return the prompts."""
    del context, params
    return ListPromptsResult(
        prompts=[
            Prompt(name=name, description=recipe.about, arguments=[COINS] if recipe.takes_coins else [])
            for name, recipe in RECIPES.items()
        ]
    )


async def get_prompt(context: ServerRequestContext[Any, Any], params: GetPromptRequestParams) -> GetPromptResult:
    """Return a prompt with its coins filled in; only what can be a coin's id gets into it."""
    del context
    recipe = RECIPES.get(params.name)
    if recipe is None:
        raise MCPError(INVALID_PARAMS, f"there is no prompt {params.name!r:.60}; there are {', '.join(RECIPES)}")
    text = recipe.text.format(coins=", ".join(_coins(params.arguments or {}))) if recipe.takes_coins else recipe.text
    message = PromptMessage(role="user", content=TextContent(type="text", text=text))
    return GetPromptResult(description=recipe.about, messages=[message])


def _coins(arguments: Mapping[str, str]) -> list[str]:
    coins = [coin.strip() for coin in arguments.get("coins", "").split(",") if coin.strip()]
    if not 1 <= len(coins) <= MOST_COINS:
        raise MCPError(INVALID_PARAMS, f"coins: expected 1 to {MOST_COINS} coin ids with commas between")
    if error := checks.coin_ids(coins):
        raise MCPError(INVALID_PARAMS, text_of(error))
    return coins
