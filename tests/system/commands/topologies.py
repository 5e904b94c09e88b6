"""Topologies for commands: one with a mistake, mended ones, and one without topics."""

from __future__ import annotations

CLIENTS = """
[clients.http]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"

[clients.redpanda]
kind = "redpanda"
brokers = "embedded"

[clients.timescale]
kind = "timescale"
dsn = "embedded"
"""
MAIN_JOB = f"""{CLIENTS}
[sources.coingecko]
kind = "coingecko"
client = "http"

[sources.topics]
kind = "redpanda"
client = "redpanda"
topics = {{topics}}

[targets.stream]
kind = "redpanda"
client = "redpanda"

[targets.database]
kind = "timescale"
client = "timescale"

[[routes]]
from = "topics"
to = ["database"]
"""
WRONG = MAIN_JOB.format(topics='{ ohlcv = "mixed" }')
MENDED = MAIN_JOB.format(topics='{ prices = "mixed" }')
HISTORY = MAIN_JOB.format(topics='{ prices = "history" }')
TABLES_ONLY = """
[clients.timescale]
kind = "timescale"
dsn = "embedded"

[clients.http]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"

[sources.coingecko]
kind = "coingecko"
client = "http"

[targets.database]
kind = "timescale"
client = "timescale"

[[routes]]
from = "coingecko"
to = ["database"]
"""
