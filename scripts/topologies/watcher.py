"""Alert when a price has moved by some percent: an agent written here, as a service of the platform.

`python scripts/topologies/watcher.py --demo` watches a simulated CoinGecko until it has alerted five times. The agent
is supervised like any other: it blocks nobody, shows an outage of its source, and is restarted alone after a bug.
"""

import sys
from tempfile import TemporaryDirectory

import dataplatform as dp
from dataplatform.dsl.operations.operations import GetCurrentPrices
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource

DEMO = dp.demo_option(__doc__)
PERCENT, EVERY = (0.001, 0.5) if DEMO else (1.0, 60.0)  # how far a price has to move, and seconds between two looks
QUESTION, ALERTS, A_DAY = GetCurrentPrices(["bitcoin", "ethereum", "solana"]), 5, 86_400.0


class PriceWatch(dp.BaseService):
    """Compares each price with what it was at the coin's last alert."""

    def _open(self) -> None:
        self._before: dict[str, float] = {}
        self.after(0.0, QUESTION)

    def receive(self, question: GetCurrentPrices) -> None:
        self.call(self.address("coingecko"), question, self._answered, timeout=10.0)

    def _answered(self, answer: dp.Result[list[dp.CryptoPriceData]]) -> None:
        if dp.is_failure(answer):
            self.retry(answer.error, QUESTION)
            return
        self.recover()
        self.after(EVERY, QUESTION)
        for price in answer.data:
            before = self._before.setdefault(price.coin_id, price.usd_price)
            percent = 100 * (price.usd_price / before - 1) if before else 0.0
            if abs(percent) >= PERCENT:
                self._before[price.coin_id] = price.usd_price
                self.count("alerts")
                print(f"{price.last_updated:%H:%M:%S} {price.coin_id} {percent:+.3f} %: {price.usd_price:,.2f} USD")


def main() -> int:
    """Watch until there were enough alerts; return 1 when the platform gave up before, or a day has passed."""
    dp.configure_logs("console", "error")
    topology = dp.Topology(
        clients={"http": dp.HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5)},
        sources={"coingecko": dp.SourceSpec(CoinGeckoSource, CoinGeckoOptions(client="http"))},
        services={"watch": dp.ServiceSpec(PriceWatch)},
    )
    with TemporaryDirectory() as own, dp.Platform.start(topology, demo=DEMO, data_dir=own) as platform:
        enough = platform.wait_until(lambda now: now.counters("watch")["alerts"] >= ALERTS, A_DAY)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
