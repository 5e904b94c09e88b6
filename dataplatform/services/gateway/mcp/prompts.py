"""Prompts: questions that the tools answer together, ready to be put to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

from dataplatform.dsl import checks
from dataplatform.services.gateway.mcp.failures import text_of

__all__ = ["get_prompt", "list_prompts"]

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
