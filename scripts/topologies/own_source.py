"""Read what no installed source does, by one written here: the prices on one exchange, from its tickers on CoinGecko.

`python scripts/topologies/own_source.py --demo` does it on a simulated CoinGecko; the database is embedded either way.
A source says what to ask for, and how to read the answers; asking, polling, retrying and sending on are inherited.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

import msgspec
from attrs import frozen

import dataplatform as dp
from dataplatform.base.http import Get, Response
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

COINS = ("bitcoin", "ethereum", "solana")


class Usd(msgspec.Struct):
    usd: float


class Ticker(msgspec.Struct):
    coin_id: str
    base: str
    converted_last: Usd
    last_traded_at: datetime


class Tickers(msgspec.Struct):
    tickers: list[Ticker]


@frozen(kw_only=True)
class ExchangeOptions(dp.SourceOptions):
    exchange: str


class ExchangeSource(dp.BaseReader):
    technology = "one exchange"
    client_kind = "http"
    Options = ExchangeOptions
    options: ExchangeOptions

    def _current_prices(self, coin_ids: Sequence[str], options: dp.CurrentPricesOptions) -> dp.Result[dp.Plan[list[dp.CryptoPriceData]]]:
        only = (("exchange_ids", self.options.exchange), ("order", "volume_desc"))
        asked = [Get(f"/coins/{coin_id}/tickers", only) for coin_id in coin_ids]
        return dp.Success(dp.Plan(self.client, asked, self._prices))

    def _feeds(self) -> list[dp.Feed]:
        plan = partial(self._current_prices, COINS, dp.CurrentPricesOptions())
        return [dp.Feed.polling("tickers", dp.PRICES, plan, every=60.0)]

    def _prices(self, answers: list[Response]) -> list[dp.CryptoPriceData]:
        try:
            found = [(msgspec.json.decode(answer.body, type=Tickers).tickers, answer) for answer in answers]
        except msgspec.MsgspecError as error:
            raise dp.Permanent("changed_shape", f"these are no tickers: {error}") from error
        return [self._price(tickers[0], answer) for tickers, answer in found if tickers]

    def _price(self, ticker: Ticker, answer: Response) -> dp.CryptoPriceData:
        return dp.CryptoPriceData(
            coin_id=ticker.coin_id, symbol=ticker.base.lower(), exchange_id=self.options.exchange,
            usd_price=ticker.converted_last.usd, last_updated=ticker.last_traded_at,
            source="simulator" if "x-simulator" in answer.headers else "coingecko",
        )


def main(*, demo: bool) -> int:
    topology = dp.Topology(
        clients={
            "http": dp.HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5, burst=5),
            "timescale": dp.TimescaleSettings("embedded"),
        },
        sources={"kraken": dp.SourceSpec(ExchangeSource, ExchangeOptions(client="http", exchange="kraken"))},
        targets={"table": dp.TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale"))},
        routes=(dp.Route("kraken", ("table",)),),
    )
