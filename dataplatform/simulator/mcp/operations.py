"""What the simulated API can be asked: each operation by its path, its tool's name and its method in the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

__all__ = ["OPERATIONS", "Kind", "Operation"]

Kind: TypeAlias = Literal["string", "boolean", "number"]

_PRECISIONS = ("full", *(str(decimals) for decimals in range(19)))
_INTERVALS = ("5m", "hourly", "daily")


def _split(names: str) -> tuple[str, ...]:
    return tuple(names.split())


@frozen(kw_only=True)
class Operation:
    """One endpoint of the API.

    Attributes:
        path: below `/api/v3`.
        tool: what the tool is called in the static generation.
        method: what the method is called in the SDK that the code generation has: `coins.ohlc.get`.
        about: a sentence.
        strings: its parameters that are texts.
        booleans: those that are true or false.
        numbers: those that are numbers.
        required: those that must be given, besides the id in the path.
        choices: the values that a parameter may have, where there is a choice.
        early: whether only the first releases of the static generation had the tool.

    """

    path: str
    tool: str
    method: str
    about: str
    strings: tuple[str, ...] = field(default="", converter=_split)
    booleans: tuple[str, ...] = field(default="", converter=_split)
    numbers: tuple[str, ...] = field(default="", converter=_split)
    required: tuple[str, ...] = field(default="", converter=_split)
    choices: Mapping[str, tuple[str, ...]] = field(factory=dict)
    early: bool = False

    @property
    def has_id(self) -> bool:
        return "{id}" in self.path

    @property
    def kinds(self) -> dict[str, Kind]:
        """The parameters by name, without the id in the path."""
        kinds: dict[str, Kind] = dict.fromkeys(self.strings, "string")
        return kinds | dict.fromkeys(self.booleans, "boolean") | dict.fromkeys(self.numbers, "number")

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the tool's arguments."""
        properties: dict[str, Any] = {"id": {"type": "string"}} if self.has_id else {}
        for name, kind in self.kinds.items():
            properties[name] = {"type": kind, **({"enum": list(self.choices[name])} if name in self.choices else {})}
        return {"type": "object", "properties": properties, "required": [*(["id"] * self.has_id), *self.required]}


OPERATIONS: Final = (
    Operation(
        path="/ping", tool="get_ping", method="ping.get", about="Tells whether the API server is up.", early=True
    ),
    Operation(
        path="/simple/price",
        tool="get_simple_price",
        method="simple.price.get",
        about="Prices of coins in one or more currencies.",
        strings="vs_currencies ids names symbols include_tokens precision",
        booleans="include_24hr_change include_24hr_vol include_last_updated_at include_market_cap",
        required="vs_currencies",
        choices={"include_tokens": ("top", "all"), "precision": _PRECISIONS},
    ),
    Operation(
        path="/simple/supported_vs_currencies",
        tool="get_simple_supported_vs_currencies",
        method="simple.supportedVsCurrencies.get",
        about="The currencies that prices are counted in.",
    ),
    Operation(path="/global", tool="get_global", method="global.get", about="The state of the whole market."),
    Operation(
        path="/coins/list",
        tool="get_coins_list",
        method="coins.list.get",
        about="The ids, symbols and names of all coins.",
        strings="status",
        booleans="include_platform",
        choices={"status": ("active", "inactive")},
        early=True,
    ),
    Operation(
        path="/coins/markets",
        tool="get_coins_markets",
        method="coins.markets.get",
        about="Coins with their price, market capitalisation and volume.",
        strings="vs_currency category ids include_tokens locale names order precision price_change_percentage symbols",
        booleans="sparkline",
        numbers="page per_page",
        required="vs_currency",
        choices={
            "include_tokens": ("top", "all"),
            "order": ("market_cap_asc", "market_cap_desc", "volume_asc", "volume_desc", "id_asc", "id_desc"),
            "precision": _PRECISIONS,
        },
    ),
    Operation(
        path="/coins/{id}",
        tool="get_id_coins",
        method="coins.getID",
        about="Everything about one coin, its tickers included.",
        strings="dex_pair_format",
        booleans="community_data developer_data include_categories_details localization market_data sparkline tickers",
        choices={"dex_pair_format": ("contract_address", "symbol")},
    ),
    Operation(
        path="/coins/{id}/ohlc",
        tool="get_coins_ohlc",
        method="coins.ohlc.get",
        about="Candles of a coin up to now, without volume.",
        strings="days vs_currency interval precision",
        required="days vs_currency",
        choices={
            "days": ("1", "7", "14", "30", "90", "180", "365", "max"),
            "interval": ("daily", "hourly"),
            "precision": _PRECISIONS,
        },
        early=True,
    ),
    Operation(
        path="/coins/{id}/ohlc/range",
        tool="get_range_coins_ohlc",
        method="coins.ohlc.getRange",
        about="Candles of a coin in a range of time; for those who pay.",
        strings="from interval to vs_currency",
        required="from interval to vs_currency",
        choices={"interval": ("daily", "hourly")},
    ),
    Operation(
        path="/coins/{id}/market_chart",
        tool="get_coins_market_chart",
        method="coins.marketChart.get",
        about="Prices, market capitalisations and volumes of a coin up to now.",
        strings="days vs_currency interval precision",
        required="days vs_currency",
        choices={"interval": _INTERVALS, "precision": _PRECISIONS},
        early=True,
    ),
    Operation(
        path="/coins/{id}/market_chart/range",
        tool="get_range_coins_market_chart",
        method="coins.marketChart.getRange",
        about="Prices, market capitalisations and volumes of a coin in a range of time.",
        strings="from to vs_currency interval precision",
        required="from to vs_currency",
        choices={"interval": _INTERVALS, "precision": _PRECISIONS},
    ),
    Operation(
        path="/coins/{id}/tickers",
        tool="get_coins_tickers",
        method="coins.tickers.get",
        about="What a coin is traded for, by exchange and pair.",
        strings="dex_pair_format exchange_ids order",
        booleans="depth include_exchange_logo",
        numbers="page",
        choices={
            "dex_pair_format": ("contract_address", "symbol"),
            "order": ("trust_score_desc", "trust_score_asc", "volume_desc", "volume_asc"),
        },
        early=True,
    ),
    Operation(
        path="/exchanges/{id}/tickers",
        tool="get_exchanges_tickers",
        method="exchanges.tickers.get",
        about="What coins are traded for on an exchange.",
        strings="coin_ids dex_pair_format order",
        booleans="depth include_exchange_logo",
        numbers="page",
        choices={
            "dex_pair_format": ("contract_address", "symbol"),
            "order": (
                "market_cap_asc",
                "market_cap_desc",
                "trust_score_desc",
                "trust_score_asc",
                "volume_desc",
                "volume_asc",
                "base_target",
            ),
        },
    ),
)
"""The same operations, in the order of the paths that the REST API answers."""
