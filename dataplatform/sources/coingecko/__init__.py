"""CoinGecko: prices, candles and market analytics, over its REST API or an MCP server."""

from dataplatform.sources.coingecko.source import CoinGeckoOptions, CoinGeckoSource, FeedOptions

__all__ = ["CoinGeckoOptions", "CoinGeckoSource", "FeedOptions"]
