"""Read by a source written here: CoinGecko's smallest answer, all prices in one short request.

`python scripts/topologies/own_source.py --demo` does it on a simulated CoinGecko; the database is embedded either way.
A source says what to ask for, and how to read the answers; asking, polling, retrying and sending on are inherited.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec

import dataplatform as dp
from dataplatform.base.http import Get, Response
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

COINS = ("bitcoin", "ethereum", "solana")


class Quote(msgspec.Struct):
    usd: float
    last_updated_at: int


class SimplePriceSource(dp.BaseReader):
    technology, client_kind, Options = "CoinGecko's /simple/price", "http", dp.SourceOptions

    def _current_prices(self, coin_ids: Sequence[str], _: object) -> dp.Result[dp.Plan[list[dp.CryptoPriceData]]]:
        wanted = (("ids", ",".join(coin_ids)), ("vs_currencies", "usd"), ("include_last_updated_at", "true"))
        return dp.Success(dp.Plan(self.client, [Get("/simple/price", wanted)], self._prices))

    def _feeds(self) -> list[dp.Feed]:
        return [dp.Feed.polling("prices", dp.PRICES, partial(self._current_prices, COINS, None), every=15.0)]

    def _prices(self, answers: list[Response]) -> list[dp.CryptoPriceData]:
        (answer,) = answers
        source = "simulator" if "x-simulator" in answer.headers else "coingecko"
        try:
            quotes = msgspec.json.decode(answer.body, type=dict[str, Quote])
        except msgspec.MsgspecError as error:
            raise dp.Permanent("changed_shape", f"these are no prices: {error}") from error
        return [
            dp.CryptoPriceData(coin_id=coin, symbol=coin, usd_price=quote.usd, last_updated=at, source=source)
            for coin, quote in quotes.items()
            for at in (datetime.fromtimestamp(quote.last_updated_at, UTC),)
        ]


def main(*, demo: bool) -> int:
    """Ask the source, then wait until the table has what it polled; return 1 when it does not answer."""
    dp.configure_logs("console", "error")
    topology = dp.Topology(
        clients={"http": dp.HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5, burst=3), "timescale": dp.TimescaleSettings("embedded")},
        sources={"simple": dp.SourceSpec(SimplePriceSource, dp.SourceOptions(client="http"))},
        targets={"table": dp.TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale"))},
        routes=(dp.Route("simple", ("table",)),),
    )
    with dp.Platform.start(topology, demo=demo) as platform:
        answer = platform["simple"].get_current_prices(COINS).get(timeout=10)
        print(answer)
        platform.wait_until(lambda now: now.routes[0].written >= len(COINS), 60)
    print(platform.status().routes)
    return 0

if __name__ == "__main__":
    sys.exit(main(demo="--demo" in sys.argv[1:]))
