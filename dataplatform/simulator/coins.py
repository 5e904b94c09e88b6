"""The coins of the simulated market: those that exist, and invented ones that fill it up to its size.

The coins of the simulated market that exist: ids, symbols and names as CoinGecko has them, and rough magnitudes. Prices
and market capitalisations are round figures in USD that give a realistic ranking; nothing here is a quotation.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

from attrs import frozen

__all__ = ["COINS", "FOLLOWERS", "LISTING", "SIZE", "STABLE", "Coin", "Row", "chance"]

Row: TypeAlias = tuple[str, str, str, float, float, float | None]
"""id, symbol, name, price in USD, market capitalisation in millions of USD, the most coins there can be (None: any)."""

STABLE: Final = frozenset(
    (
        "dai",
        "ethena-usde",
        "first-digital-usd",
        "frax",
        "paypal-usd",
        "ripple-usd",
        "tether",
        "true-usd",
        "usd-coin",
        "usd1-wlfi",
        "usdd",
        "usds",
    )
)
"""Ids of the coins that stay at about one dollar."""

FOLLOWERS: Final = {
    "wrapped-bitcoin": "bitcoin",
    "coinbase-wrapped-btc": "bitcoin",
    "staked-ether": "ethereum",
    "wrapped-steth": "ethereum",
    "rocket-pool-eth": "ethereum",
    "wrapped-eeth": "ethereum",
    "weth": "ethereum",
    "jito-staked-sol": "solana",
}
"""Coins whose price moves with another's: a claim on it."""

LISTING: Final[tuple[Row, ...]] = (
    ("bitcoin", "btc", "Bitcoin", 77_000.0, 1_540_000, 21e6),
    ("ethereum", "eth", "Ethereum", 2_130.0, 257_000, None),
    ("tether", "usdt", "Tether", 1.0, 189_000, None),
    ("ripple", "xrp", "XRP", 1.42, 86_000, 100e9),
    ("binancecoin", "bnb", "BNB", 615.0, 84_000, 200e6),
    ("usd-coin", "usdc", "USDC", 1.0, 76_300, None),
    ("solana", "sol", "Solana", 86.0, 49_000, None),
    ("tron", "trx", "TRON", 0.312, 29_600, None),
    ("staked-ether", "steth", "Lido Staked Ether", 2_128.0, 19_800, None),
    ("dogecoin", "doge", "Dogecoin", 0.0987, 16_700, None),
    ("cardano", "ada", "Cardano", 0.262, 9_650, 45e9),
    ("wrapped-bitcoin", "wbtc", "Wrapped Bitcoin", 76_900.0, 9_010, None),
    ("wrapped-steth", "wsteth", "Wrapped stETH", 2_615.0, 8_900, None),
    ("hyperliquid", "hype", "Hyperliquid", 36.5, 8_700, 962e6),
    ("bitcoin-cash", "bch", "Bitcoin Cash", 432.0, 8_650, 21e6),
    ("usds", "usds", "USDS", 1.0, 8_000, None),
    ("wrapped-eeth", "weeth", "Wrapped eETH", 2_330.0, 6_900, None),
    ("leo-token", "leo", "LEO Token", 9.1, 8_400, 985e6),
    ("chainlink", "link", "Chainlink", 9.25, 6_550, 1e9),
    ("monero", "xmr", "Monero", 338.0, 6_240, None),
    ("weth", "weth", "WETH", 2_130.0, 6_100, None),
    ("ethena-usde", "usde", "Ethena USDe", 1.0, 6_000, None),
    ("stellar", "xlm", "Stellar", 0.166, 5_460, 50_001_806_812.0),
    ("coinbase-wrapped-btc", "cbbtc", "Coinbase Wrapped BTC", 76_950.0, 5_400, None),
    ("zcash", "zec", "Zcash", 298.0, 4_940, 21e6),
    ("litecoin", "ltc", "Litecoin", 56.2, 4_330, 84e6),
    ("dai", "dai", "Dai", 1.0, 4_300, None),
    ("usd1-wlfi", "usd1", "USD1", 1.0, 4_250, None),
    ("sui", "sui", "Sui", 1.06, 4_180, 10e9),
    ("avalanche-2", "avax", "Avalanche", 9.6, 4_150, 720e6),
    ("hedera-hashgraph", "hbar", "Hedera", 0.094, 4_050, 50e9),
    ("paypal-usd", "pyusd", "PayPal USD", 1.0, 3_900, None),
    ("shiba-inu", "shib", "Shiba Inu", 6.12e-06, 3_610, 589_552_695_333_683.0),
    ("the-open-network", "ton", "Toncoin", 1.33, 3_280, None),
    ("crypto-com-chain", "cro", "Cronos", 0.0745, 3_100, 100e9),
    ("tether-gold", "xaut", "Tether Gold", 4_540.0, 2_560, None),
    ("world-liberty-financial", "wlfi", "World Liberty Financial", 0.0942, 2_480, 100e9),
    ("pax-gold", "paxg", "PAX Gold", 4_545.0, 2_400, None),
    ("uniswap", "uni", "Uniswap", 3.72, 2_360, 1e9),
    ("polkadot", "dot", "Polkadot", 1.38, 2_310, 2.1e9),
    ("mantle", "mnt", "Mantle", 0.69, 2_240, 6_219_316_795.0),
    ("okb", "okb", "OKB", 88.0, 1_850, 21e6),
    ("pi-network", "pi", "Pi Network", 0.176, 1_720, 100e9),
    ("bittensor", "tao", "Bittensor", 178.0, 1_700, 21e6),
    ("near", "near", "NEAR Protocol", 1.3, 1_670, None),
    ("aave", "aave", "Aave", 108.0, 1_640, 16e6),
    ("pepe", "pepe", "Pepe", 3.85e-06, 1_620, 420_690_000_000_000.0),
    ("bitget-token", "bgb", "Bitget Token", 2.2, 1_540, 2e9),
    ("internet-computer", "icp", "Internet Computer", 2.6, 1_430, None),
    ("ripple-usd", "rlusd", "Ripple USD", 1.0, 1_400, None),
    ("ethereum-classic", "etc", "Ethereum Classic", 8.9, 1_390, 210.7e6),
    ("ondo-finance", "ondo", "Ondo", 0.27, 1_310, 10e9),
    ("rocket-pool-eth", "reth", "Rocket Pool ETH", 2_460.0, 1_260, None),
    ("kucoin-shares", "kcs", "KuCoin", 8.8, 1_150, 170e6),
    ("gatechain-token", "gt", "Gate", 7.2, 1_080, None),
    ("worldcoin-wld", "wld", "Worldcoin", 0.35, 1_050, 10e9),
    ("polygon-ecosystem-token", "pol", "POL (ex-MATIC)", 0.098, 1_035, None),
    ("kaspa", "kas", "Kaspa", 0.0367, 1_000, 28.7e9),
    ("quant-network", "qnt", "Quant", 68.0, 990, 14_881_364.0),
    ("cosmos", "atom", "Cosmos Hub", 1.98, 970, None),
    ("ethena", "ena", "Ethena", 0.112, 940, 15e9),
    ("render-token", "render", "Render", 1.79, 925, 644e6),
    ("algorand", "algo", "Algorand", 0.102, 905, 10e9),
    ("official-trump", "trump", "Official Trump", 3.7, 870, 1e9),
    ("filecoin", "fil", "Filecoin", 1.12, 850, 1_958_750_133.0),
    ("aptos", "apt", "Aptos", 1.03, 805, None),
    ("flare-networks", "flr", "Flare", 0.0094, 790, None),
    ("xdce-crowd-sale", "xdc", "XDC Network", 0.038, 760, None),
    ("vechain", "vet", "VeChain", 0.0085, 730, 86_712_634_466.0),
    ("arbitrum", "arb", "Arbitrum", 0.121, 705, 10e9),
    ("jupiter-exchange-solana", "jup", "Jupiter", 0.196, 690, 10e9),
    ("jito-staked-sol", "jitosol", "Jito Staked SOL", 108.5, 685, None),
    ("bonk", "bonk", "Bonk", 7.4e-06, 650, 87_994_739_756_082.0),
    ("sei-network", "sei", "Sei", 0.0925, 620, 10e9),
    ("pump-fun", "pump", "Pump.fun", 0.00172, 610, 1e12),
    ("dash", "dash", "Dash", 46.0, 580, 18.9e6),
    ("stacks", "stx", "Stacks", 0.305, 560, None),
    ("tezos", "xtz", "Tezos", 0.495, 530, None),
    ("virtual-protocol", "virtual", "Virtuals Protocol", 0.79, 520, 1e9),
    ("pudgy-penguins", "pengu", "Pudgy Penguins", 0.0081, 510, 88_888_888_888.0),
    ("true-usd", "tusd", "TrueUSD", 1.0, 494, None),
    ("decred", "dcr", "Decred", 28.0, 490, 21e6),
    ("first-digital-usd", "fdusd", "First Digital USD", 1.0, 480, None),
    ("curve-dao-token", "crv", "Curve DAO", 0.315, 465, 3.03e9),
    ("chiliz", "chz", "Chiliz", 0.0445, 455, None),
    ("injective-protocol", "inj", "Injective", 4.4, 440, 100e6),
    ("celestia", "tia", "Celestia", 0.49, 430, None),
    ("usdd", "usdd", "USDD", 1.0, 425, None),
    ("optimism", "op", "Optimism", 0.196, 415, 4_294_967_296.0),
    ("lido-dao", "ldo", "Lido DAO", 0.47, 400, 1e9),
    ("fetch-ai", "fet", "Artificial Superintelligence Alliance", 0.168, 385, 2_719_493_897.0),
    ("kaia", "kaia", "Kaia", 0.062, 370, None),
    ("iota", "iota", "IOTA", 0.083, 362, None),
    ("conflux-token", "cfx", "Conflux", 0.069, 358, None),
    ("floki", "floki", "FLOKI", 3.7e-05, 350, 10e12),
    ("bitcoin-cash-sv", "bsv", "Bitcoin SV", 17.4, 348, 21e6),
    ("starknet", "strk", "Starknet", 0.066, 345, 10e9),
    ("the-graph", "grt", "The Graph", 0.0315, 338, None),
    ("frax", "frax", "Legacy Frax Dollar", 0.998, 332, None),
    ("pyth-network", "pyth", "Pyth Network", 0.057, 328, 10e9),
    ("maker", "mkr", "Maker", 1_640.0, 325, 1_005_577.0),
    ("immutable-x", "imx", "Immutable", 0.385, 322, 2e9),
    ("dogwifcoin", "wif", "dogwifhat", 0.318, 318, 998_926_392.0),
    ("theta-token", "theta", "Theta Network", 0.315, 315, 1e9),
    ("ethereum-name-service", "ens", "Ethereum Name Service", 8.1, 305, 100e6),
    ("gala", "gala", "GALA", 0.0064, 302, None),
    ("the-sandbox", "sand", "The Sandbox", 0.112, 298, 3e9),
    ("neo", "neo", "NEO", 4.15, 293, 100e6),
    ("raydium", "ray", "Raydium", 1.06, 285, 555e6),
    ("decentraland", "mana", "Decentraland", 0.142, 276, None),
    ("flow", "flow", "Flow", 0.168, 272, None),
    ("axie-infinity", "axs", "Axie Infinity", 1.58, 268, 270e6),
    ("helium", "hnt", "Helium", 1.38, 257, 223e6),
    ("jasmycoin", "jasmy", "JasmyCoin", 0.0051, 252, 50e9),
    ("multiversx", "egld", "MultiversX", 8.6, 250, None),
    ("sonic-3", "s", "Sonic", 0.0815, 248, None),
    ("pendle", "pendle", "Pendle", 1.46, 243, None),
    ("eos", "eos", "EOS", 0.152, 238, 2.1e9),
    ("compound-governance-token", "comp", "Compound", 23.4, 226, 10e6),
    ("ecash", "xec", "eCash", 1.05e-05, 210, 21e12),
    ("yearn-finance", "yfi", "yearn.finance", 5_820.0, 197, 36_666.0),
    ("1inch", "1inch", "1INCH", 0.137, 192, 1.5e9),
    ("basic-attention-token", "bat", "Basic Attention", 0.127, 190, 1.5e9),
    ("zilliqa", "zil", "Zilliqa", 0.0093, 187, 21e9),
    ("arweave", "ar", "Arweave", 2.75, 180, 66e6),
    ("havven", "snx", "Synthetix", 0.47, 161, None),
    ("kusama", "ksm", "Kusama", 9.1, 158, None),
    ("0x", "zrx", "0x Protocol", 0.152, 129, 1e9),
)


SIZE: Final = 300
_GOLD = frozenset(("tether-gold", "pax-gold"))
_LIMITED = 0.6
"""The part of the invented coins of which there can only be so many."""
_UNRANKED = ("market_cap", "market_cap_rank", "market_cap_change_24h", "market_cap_change_percentage_24h")


@frozen
class Coin:
    """One coin and how it behaves.

    Attributes:
        id: CoinGecko's id, such as `avalanche-2`; invented coins are called `sim-coin-N`.
        number: the place in the list, counted from 1: the rank while nothing moves.
        middle: the price in USD that it keeps returning to.
        supply: coins in circulation.
        max_supply: the most coins there can be; None where there is no limit.
        market_beta: how much of the common market's movement it follows.
        volatility: its own movement over a day, as a standard deviation of the logarithm of the price.
        follows: the id of the coin it is a claim on, or None.
        turnover: the day's volume as a part of the market capitalisation.
        unknown: the fields of CoinGecko's answers that are null for it.

    """

    id: str
    symbol: str
    name: str
    number: int
    middle: float
    supply: float
    max_supply: float | None
    market_beta: float
    volatility: float
    follows: str | None
    turnover: float
    unknown: frozenset[str]

    @property
    def invented(self) -> bool:
        """Whether no coin of this id exists."""
        return self.id.startswith("sim-coin-")

    @property
    def total_supply(self) -> float:
        """Coins issued: somewhat more than circulate where there is a limit, else the same."""
        return self.supply if self.max_supply is None else min(self.max_supply, self.supply * 1.04)


def chance(*key: object) -> float:
    """Return a number in [0, 1) that is always the same for the same key, whatever the seed.

    >>> chance("bitcoin", "turnover") == chance("bitcoin", "turnover")
    True
    """
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2.0**56


def _movement(coin_id: str) -> tuple[float, float]:
    """Return the market beta and the volatility of a coin."""
    if coin_id in STABLE:
        return 0.0, 0.0002
    if coin_id in FOLLOWERS:
        return 0.0, 0.0004
    if coin_id in _GOLD:
        return 0.05, 0.006
    if coin_id == "bitcoin":
        return 1.0, 0.006
    return 0.9 + 0.7 * chance(coin_id, "beta"), 0.012 + 0.022 * chance(coin_id, "volatility")


def _unknown(number: int) -> frozenset[str]:
    """Return the fields that CoinGecko would not know of the invented coin of this number."""
    fields: set[str] = set()
    if number % 7 == 0:
        fields |= {"price_change_percentage_7d_in_currency", "price_change_percentage_7d"}
    if number % 11 == 0:
        fields |= {"total_supply", "fully_diluted_valuation", "market_cap_fdv_ratio"}
    if number % 41 == 0:
        fields |= {*_UNRANKED, "fully_diluted_valuation", "market_cap_fdv_ratio", "circulating_supply"}
    if number % 43 == 0:
        fields |= {"price_change_24h", "price_change_percentage_24h", "price_change_percentage_24h_in_currency"}
    return frozenset(fields)


def _listed(number: int, row: Row) -> Coin:
    coin_id, symbol, name, price, millions, max_supply = row
    market_beta, volatility = _movement(coin_id)
    supply = millions * 1e6 / price
    return Coin(
        id=coin_id,
        symbol=symbol,
        name=name,
        number=number,
        middle=price,
        supply=round(supply if max_supply is None else min(supply, max_supply), 2),
        max_supply=max_supply,
        market_beta=market_beta,
        volatility=volatility,
        follows=FOLLOWERS.get(coin_id),
        turnover=0.35 if coin_id in STABLE else 0.01 + 0.08 * chance(coin_id, "turnover"),
        unknown=_unknown(number) if coin_id.startswith("sim-coin-") else frozenset(),
    )


def _invented(number: int) -> Row:
    coin_id = f"sim-coin-{number}"
    price = 10.0 ** round(3 - 9 * chance(coin_id, "price"), 1)
    millions = LISTING[-1][4] * 0.985 ** (number - len(LISTING))
    supply = millions * 1e6 / price
    limit = round(supply * (1 + chance(coin_id, "limit")), 0) if chance(coin_id, "limited") < _LIMITED else None
    return coin_id, f"sim{number}", f"Simulated Coin {number}", price, millions, limit


_ROWS = (*LISTING, *(_invented(number) for number in range(len(LISTING) + 1, SIZE + 1)))
COINS: Final = tuple(_listed(number, row) for number, row in enumerate(_ROWS, 1))
