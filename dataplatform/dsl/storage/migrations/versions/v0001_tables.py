"""The tables of the first release; those that are there already, made without migrations, are taken over."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision, down_revision = "0001", None


def upgrade() -> None:
    """Create what is missing of the five tables and their indexes."""
    _prices()
    _ohlcv()
    _analytics()
    _level1()
    _dead_letters()


def _prices() -> None:
    _table(
        "crypto_prices",
        ("coin_id", "exchange_id", "source", "last_updated"),
        _column("coin_id"),
        _column("symbol"),
        _column("name", null=True),
        _column("exchange_id"),
        _column("usd_price", sa.Double),
        _column("btc_price", sa.Double, null=True),
        _column("eth_price", sa.Double, null=True),
        _column("market_cap", sa.Double, null=True),
        _column("volume_24h", sa.Double, null=True),
        _column("change_24h", sa.Double, null=True),
        _column("change_7d", sa.Double, null=True),
        _column("last_updated", TIMESTAMP(timezone=True)),
        _column("source"),
        _column("attribution"),
    )


def _ohlcv() -> None:
    _table(
        "crypto_ohlcv",
        ("coin_id", "exchange_id", "source", "timeframe", "timestamp"),
        _column("coin_id"),
        _column("symbol", null=True),
        _column("exchange_id"),
        _column("timestamp", TIMESTAMP(timezone=True)),
        _column("open", sa.Double),
        _column("high", sa.Double),
        _column("low", sa.Double),
        _column("close", sa.Double),
        _column("volume", sa.Double, null=True),
        _column("timeframe"),
        _column("source"),
        _column("attribution"),
    )


def _analytics() -> None:
    _table(
        "market_analytics",
        ("exchange_id", "source", "timestamp"),
        _column("timestamp", TIMESTAMP(timezone=True)),
        _column("exchange_id"),
        _column("total_market_cap", sa.Double),
        _column("total_volume", sa.Double),
        _column("btc_dominance", sa.Double),
        _column("eth_dominance", sa.Double, null=True),
        _column("active_cryptocurrencies", sa.BigInteger),
        _column("markets", sa.BigInteger),
        _column("market_cap_change_24h", sa.Double),
        _column("source"),
        _column("attribution"),
    )


def _level1() -> None:
    _table(
        "level1",
        ("ticker", "exchange", "market", "source", "timestamp"),
        _column("ticker"),
        _column("timestamp", TIMESTAMP(timezone=True)),
        _column("best_bid", sa.Double),
        _column("best_ask", sa.Double),
        _column("spread", sa.Double),
        _column("spread_percent", sa.Double),
        _column("exchange"),
        _column("market"),
        _column("estimated", sa.Boolean),
        _column("source"),
        _column("attribution"),
    )


def _dead_letters() -> None:
    _table(
        "dead_letters",
        ("id", "time"),
        _column("id"),
        _column("time", TIMESTAMP(timezone=True)),
        _column("origin"),
        _column("stream"),
        _column("partition", sa.BigInteger, null=True),
        _column("offset", sa.BigInteger, null=True),
        _column("target"),
        _column("error"),
        _column("raw", sa.LargeBinary),
    )


def _column(name: str, type_: Any = sa.Text, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=null)


def _table(name: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> None:
    """Create a table whose key ends with its time, and the index on that."""
    time = key[-1]
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key), if_not_exists=True)
    op.create_index(f"{name}_{time}_idx", name, [sa.text(f'"{time}" DESC')], if_not_exists=True)
