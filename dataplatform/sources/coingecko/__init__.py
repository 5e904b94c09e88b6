"""CoinGecko: prices, candles and market analytics, over its REST API or an MCP server."""

from dataplatform.sources.coingecko.options import CoinGeckoOptions, FeedOptions
from dataplatform.sources.coingecko.source import CoinGeckoSource

__all__ = ["CoinGeckoOptions", "CoinGeckoSource", "FeedOptions"]
