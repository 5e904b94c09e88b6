"""Read by a source written here: CoinGecko's shortest answer, the prices of all coins in one small request.

`python scripts/topologies/own_source.py --demo` does it on a simulated CoinGecko; the database is embedded either way.
A source says what to ask for and how to read the answers. Asking, polling, retrying and sending on are inherited.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from tempfile import TemporaryDirectory

from attrs import frozen

import dataplatform as dp
from dataplatform.base.http import Get, Response
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

COINS = ("bitcoin", "ethereum", "solana")
COINGECKO = dp.HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5)


@frozen
class Quote:
    usd: float
    last_updated_at: datetime


class ShortPrices(dp.BaseReader):
    technology, client_kind, Options = "CoinGecko's /simple/price", "http", dp.SourceOptions

    def _current_prices(self, coin_ids: Sequence[str], _: object) -> dp.Result[dp.Plan[list[dp.CryptoPriceData]]]:
        wanted = (("ids", ",".join(coin_ids)), ("vs_currencies", "usd"), ("include_last_updated_at", "true"))
        return dp.Success(dp.Plan(self.client, [Get("/simple/price", wanted)], prices))

    def _feeds(self) -> list[dp.Feed]:
        return [dp.Feed.polling("prices", dp.PRICES, lambda: self._current_prices(COINS, None), every=15.0)]


def prices(answers: list[Response]) -> list[dp.CryptoPriceData]:
    quotes = answers[0].json(dict[str, Quote], strict=False)  # times are numbers; what is no quote is refused
    who = "simulator" if "x-simulator" in answers[0].headers else "coingecko"
    return [
        dp.CryptoPriceData(coin_id=coin, symbol=coin, usd_price=it.usd, last_updated=it.last_updated_at, source=who)
        for coin, it in quotes.items()
    ]


TOPOLOGY = dp.Topology(
    clients={"coingecko": COINGECKO, "timescale": dp.TimescaleSettings("embedded")},
    sources={"short": dp.SourceSpec(ShortPrices, dp.SourceOptions(client="coingecko"))},
    targets={"table": dp.TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale"))},
    routes=(dp.Route("short", ("table",)),),
)
if __name__ == "__main__":
    dp.configure_logs("console", "error")
    with TemporaryDirectory() as own, dp.Platform.start(TOPOLOGY, demo=dp.demo_option(__doc__), data_dir=own) as flow:
        done = flow.wait_until(lambda now: now.routes[0].written >= len(COINS), timeout=60)
        print(*dp.get_data(flow.sql("SELECT coin_id, usd_price, source FROM crypto_prices")).rows, sep="\n")
    sys.exit(0 if done else 1)
