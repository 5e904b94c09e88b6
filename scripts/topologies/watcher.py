"""Alert when a price has moved by some percent: an agent written here, as a service of the platform.

`python scripts/topologies/watcher.py --demo` watches a simulated CoinGecko until it has alerted five times. The agent is
supervised like any other: it blocks nobody, shows an outage of the source as its own, and a bug restarts it alone.
"""

import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen

import dataplatform as dp
from dataplatform.base.agent import Agent, ChildSpec, Context
from dataplatform.dsl.operations import GetCurrentPrices
from dataplatform.services.parts import ServiceOptions, Surroundings
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource


@frozen(kw_only=True)
class WatchOptions(ServiceOptions):
    """Which prices to look at, how often (seconds), which move counts (percent), and whom to tell."""

    source: str
    coins: tuple[str, ...]
    every: float
    percent: float
    tell: Callable[[str], None]


class Look:
    """It is time to look at the prices."""


class PriceWatch(Agent):
    """Compares each price with what it was at its last alert."""

    kind, technology, Options = "gateway", "a price watch", WatchOptions

    @classmethod
    def part(cls, name: str, options: WatchOptions, surroundings: Surroundings) -> tuple[ChildSpec, ...]:
        return (cls.child(name, options),)

    def __init__(self, context: Context, options: WatchOptions) -> None:
        super().__init__(context)
        self._options, self._before = options, dict[str, float]()

    def _open(self) -> None:
        self.after(0.0, Look())

    def receive(self, message: Look) -> None:
        source = self.address(self._options.source)
        self.call(source, GetCurrentPrices(self._options.coins), self._compare, timeout=10.0)

    def _compare(self, answer: dp.Result[list[dp.CryptoPriceData]]) -> None:
        if dp.is_failure(answer):
            return self.retry(answer.error, Look())
        self.recover()
        self.after(self._options.every, Look())
        for price in answer.data:
            before = self._before.setdefault(price.coin_id, price.usd_price)
            moved = 100 * (price.usd_price / before - 1) if before else 0.0
            if abs(moved) >= self._options.percent:
                self._before[price.coin_id] = price.usd_price
                self._options.tell(f"{price.last_updated:%H:%M:%S} {price.coin_id} {moved:+.2f} % to {price.usd_price:,.2f} USD")


def main(*, demo: bool) -> int:
    dp.configure_logs("console", "error")
    alerts: SimpleQueue[str] = SimpleQueue()
    coins, move = ("bitcoin", "ethereum", "solana", "dogecoin"), (0.02 if demo else 1.0)
    watch = WatchOptions(source="coingecko", coins=coins, every=0.5 if demo else 60.0, percent=move, tell=alerts.put)
    topology = dp.Topology(
        clients={"http": dp.HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5)},
        sources={"coingecko": dp.SourceSpec(CoinGeckoSource, CoinGeckoOptions(client="http"))},
        services={"watch": dp.ServiceSpec(PriceWatch, watch)},
    )
    with TemporaryDirectory() as own, dp.Platform.start(topology, demo=demo, data_dir=own):
        for _ in range(5):
            print(alerts.get(timeout=60 if demo else None))
    return 0


if __name__ == "__main__":
    sys.exit(main(demo="--demo" in sys.argv[1:]))
