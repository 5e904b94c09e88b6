"""`python -m dataplatform.system backfill`: gaps in stored history, filled from CoinGecko."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from attrs import evolve

from dataplatform.dsl.records import checks
from dataplatform.errors import Permanent, PlatformError
from dataplatform.sources.coingecko import CoinGeckoSource
from dataplatform.sources.coingecko.candles import DAYS
from dataplatform.sources.coingecko.plans import is_paid
from dataplatform.sources.timescale import TimescaleSource
from dataplatform.system.cli.data.filling import Account, Backfill, Span, candle_spans, price_spans
from dataplatform.system.cli.data.partial import STORED, at_work, only, stored_source
from dataplatform.system.cli.options import LEFT_OVER, Moment, Patience, common_options, counted, framed
from dataplatform.system.cli.running import Signals
from dataplatform.system.config.topology import TargetSpec, Topology
from dataplatform.system.console.progress import Progress, log_level, progress

__all__ = ["backfill_command"]

REASONS = 10
EXAMPLES = """\b
Examples:
  python -m dataplatform.system backfill --coins bitcoin,ethereum --from 2026-01-01 --to 2026-07-01 my.toml
  python -m dataplatform.system backfill --coins bitcoin --from 30d --timeframe 4h --demo
"""


class Coins(click.ParamType[tuple[str, ...]]):
    """Ids of coins with commas between them, each once."""

    name = "coins"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        coins = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        if error := checks.coin_ids(coins) or next((checks.coin_id(coin) for coin in coins if not coin), None):
            self.fail(error.message, param, ctx)
        return coins


@click.command("backfill", epilog=EXAMPLES)
@common_options
@click.option("--coins", type=Coins(), required=True, metavar="ID,ID,…", help="The coins.")
@click.option("--from", "start", type=Moment(), required=True, metavar="DATE", help="Since when (UTC), or 30d (ago).")
@click.option("--to", "end", type=Moment(), metavar="DATE", help="Until when (UTC); by default until now.")
@click.option("--timeframe", type=click.Choice(list(DAYS)), help="Candles of this length, instead of prices.")
def backfill_command(
    topology: Path | None,
    *,
    demo: bool,
    data_dir: Path | None,
    patience: float,
    coins: tuple[str, ...],
    start: datetime,
    end: datetime | None,
    timeframe: str | None,
) -> None:
    """Find what is missing in the stored history of coins, and fill it from CoinGecko.

    Prices are looked for by the hour, before the last 90 days by the day, as CoinGecko has them. Its rate limits are
    obeyed: without a key a coin takes about half a minute. What is stored is not asked for again, so a command that
    was interrupted or killed goes on when it is given again. It works beside a running platform. TimescaleDB keeps
    prices for 90 days only: for a longer past ask for candles.

    Exit status: 0 nothing is missing; 1 something is left, and why, records that the database refused included: they
    are asked for again the next time, and become no dead letters; 2 wrong usage or configuration.
    """
    now = datetime.now(UTC)
    end = min(end or now, now)
    if start >= end:
        raise click.UsageError(f"--from {start:%Y-%m-%d %H:%M} is not before --to {end:%Y-%m-%d %H:%M}")
    with framed(topology, level=log_level()) as loaded, Signals.watch() as signals, progress() as shown:
        reader, writer = _parts(loaded)
        spans = _spans(loaded, reader, coins, start, end, timeframe)
        patient = Patience(patience, signals.came, lambda _, why: shown.say(f"waiting: {why}"))
        parts = _topology(loaded, reader, writer, demo=demo)
        with at_work(parts, demo=demo, data_dir=data_dir, writing=True) as platform:
            backfill = Backfill(
                platform[reader],
                platform[STORED],
                platform[platform.connections[loaded.targets[writer].options.client].agents[0]],
                platform[writer],
                patient,
                platform.runtime.clock,
                simulated=demo,
            )
            stopped = _fill(backfill, spans, shown)
    _tell(backfill.account, stopped)
    sys.exit(LEFT_OVER if stopped or backfill.account.left else 0)


def _fill(backfill: Backfill, spans: Sequence[Span], shown: Progress) -> str:
    """Look for gaps and fill them; return what kept it from going on to the end."""
    try:
        ids = {coin: backfill.id_of(coin) for coin in dict.fromkeys(span.coin for span in spans)}
        for coin in (coin for coin, coin_id in ids.items() if coin != coin_id):
            shown.say(f"{coin!r} is taken for {ids[coin]}")
        spans = list(dict.fromkeys(evolve(span, coin=ids[span.coin]) for span in spans))
        shown.begin("looking for gaps", total=len(spans))
        founds = []
        for span in spans:
            backfill.patience.go_on()
            founds.append(backfill.find(span))
            shown.advance()
        shown.begin("filling", total=sum(found.missing for found in founds))
        for found in filter(lambda one: one.gaps, founds):
            backfill.patience.go_on()
            shown.say(f"filling {found.span.coin}")
            shown.advance(backfill.fill(found))
    except PlatformError as error:
        return str(error)
    return ""


def _parts(topology: Topology) -> tuple[str, str]:
    """Return the names of the source and the target that history goes between."""
    reader = next((name for name, spec in topology.sources.items() if issubclass(spec.cls, CoinGeckoSource)), None)
    writer = next((name for name, spec in topology.targets.items() if _is_read_back(spec)), None)
    if reader is None or writer is None:
        lacks = "coingecko source" if reader is None else "timescale target"
        raise Permanent("nothing_to_fill", f"the topology has no {lacks}; a backfill reads CoinGecko into a database")
    return reader, writer


def _is_read_back(spec: TargetSpec) -> bool:
    """Tell whether the gaps of what a target has written can be found, by the source that reads such clients."""
    return spec.cls.client_kind in TimescaleSource.client_kinds()


def _topology(topology: Topology, reader: str, writer: str, *, demo: bool) -> Topology:
    source = topology.sources[reader]
    quiet = evolve(source, options=evolve(source.options, feeds=()))
    stored = stored_source(topology.targets[writer].options.client, demo=demo)
    return only(topology, [writer], {reader: quiet, **stored})


def _spans(
    topology: Topology, reader: str, coins: Sequence[str], start: datetime, end: datetime, timeframe: str | None
) -> list[Span]:
    now = datetime.now(UTC)
    if timeframe is not None:
        return candle_spans(coins, start, end, now, timeframe)
    settings = topology.clients[topology.sources[reader].options.client].settings
    return price_spans(coins, start, end, now, paid=is_paid(settings))


def _tell(account: Account, stopped: str) -> None:
    """Print the summary."""
    found = f"{counted(account.gaps, 'gap')} of {counted(account.missing, 'interval')}"
    click.echo(f"{found}; filled {account.filled}, {counted(account.records, 'record')} written")
    reasons: Counter[tuple[str, str]] = Counter()
    for left in account.left:
        reasons[str(left.span), left.reason] += left.missing
    for (span, reason), missing in reasons.most_common(REASONS):
        click.echo(f"left {missing} of {span}: {reason}", err=True)
    if len(reasons) > REASONS:
        click.echo(f"and {len(reasons) - REASONS} more", err=True)
    if stopped:
        click.echo(f"stopped: {stopped}", err=True)
