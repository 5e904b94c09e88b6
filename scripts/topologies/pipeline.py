"""Read prices from CoinGecko, and publish them to TimescaleDB and Redpanda at once.

`python scripts/topologies/pipeline.py --demo` does it on a simulated CoinGecko and embedded servers. Without `--demo`
the servers are those of DATABASE_URL (`postgresql://…`) and BROKERS (`localhost:19092`).
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from dataplatform import (
    configure_logs,
    create_coingecko_market_data_reader,
    create_redpanda_market_data_writer,
    create_timescale_market_data_writer,
    demo_option,
    demo_servers,
    is_failure,
    pipe,
)

COINS = ["bitcoin", "ethereum", "solana"]


def main(*, demo: bool) -> int:
    """Run the pipeline once; return 0 when every target has acknowledged what was read, else 1."""
    configure_logs("console", "error")
    with ExitStack() as stack:
        servers = stack.enter_context(demo_servers()) if demo else None
        database = servers.timescale if servers else os.environ["DATABASE_URL"]
        brokers = servers.redpanda if servers else os.environ["BROKERS"].split(",")
        coingecko = servers.coingecko if servers else None

        start = stack.enter_context
        reader = start(create_coingecko_market_data_reader(use_remote_server=True, client=coingecko))
        timescale = start(create_timescale_market_data_writer(name="timescale", connection_string=database))
        redpanda = start(create_redpanda_market_data_writer(brokers=brokers, topics={"prices": "crypto-prices"}))

        result = pipe(reader.get_current_prices, timescale.publish_prices, redpanda.publish_prices)(COINS)
        if is_failure(result):
            print(f"nothing was written: {result.error}")
            return 1
        for price in result.data.records:
            print(f"read {price.coin_id}: {price.usd_price:,.2f} USD at {price.last_updated:%H:%M:%S}, {price.source}")
        for target, answer in result.data.answers.items():
            print(f"{target}:", answer.error if is_failure(answer) else f"{answer.data.published} prices are durable")
        return 1 if result.data.failures else 0


if __name__ == "__main__":
    sys.exit(main(demo=demo_option(__doc__)))
