"""Run scenarios of faults from the command line, as `scripts/faults` does."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path

import click
import structlog
from attrs import asdict, frozen

from tests.faults.registry import Figures, run
from tests.faults.results import append, latest, table
from tests.faults.scenarios import SCENARIOS
from tests.faults.servers import Servers, Unfit
from tests.support.kafka import fetched_kafka

UNUSABLE = 3


@frozen
class Size:
    """What was chosen at the command line; None is the scenario's own choice."""

    seed: int
    duration: float | None
    platforms: int | None


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("names", metavar="[SCENARIO...]", nargs=-1)
@click.option("--seed", default=1, show_default=True, help="What everything random in a scenario comes from.")
@click.option(
    "--duration",
    type=float,
    metavar="SECONDS",
    help="Inject faults for so long; by default as long as a test does, or longer.",
)
@click.option(
    "--platforms", type=click.IntRange(1, 20), metavar="N", help="How many there are, in a scenario of any number."
)
@click.option("--list", "show", is_flag=True, help="Show the scenarios and end.")
@click.option("--json", "as_json", is_flag=True, help="Print each run's figures as a line of JSON.")
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), help="Add the figures to this file.")
@click.option(
    "--table",
    "as_table",
    is_flag=True,
    help="Print the table of tests/faults/README.md from the file --results, run nothing.",
)
def main(
    names: tuple[str, ...],
    seed: int,
    duration: float | None,
    platforms: int | None,
    results: Path | None,
    *,
    show: bool,
    as_json: bool,
    as_table: bool,
) -> None:
    """Break things around platforms while records flow, and account for every record.

    SCENARIO is a name that --list shows, or `all`. Exit status: 0 every promise was kept; 1 one was not; 2 wrong usage;
    3 there is no Apache Kafka.
    """
    if show:
        click.echo("\n".join(f"{name:<28}{one.fault}; {one.promise}" for name, one in SCENARIOS.items()))
        return
    if as_table:
        if results is None or not results.is_file():
            raise click.UsageError("--table needs --results FILE, with the figures of earlier runs")
        click.echo(table(latest(results)))
        return
    sys.exit(_run_all(_chosen(names), Size(seed, duration, platforms), results, as_json=as_json))


def _chosen(names: tuple[str, ...]) -> list[str]:
    if not names:
        raise click.UsageError("name a scenario, or `all`; --list shows them")
    unknown = [name for name in names if name not in {*SCENARIOS, "all"}]
    if unknown:
        raise click.UsageError(f"no scenario is called {unknown[0]!r}; --list shows them")
    return list(SCENARIOS) if "all" in names else list(names)


def _run_all(names: list[str], size: Size, results: Path | None, *, as_json: bool) -> int:
    home, reason = fetched_kafka()
    if home is None:
        click.echo(reason, err=True)
        return UNUSABLE
    _hush()
    kept = True
    with Servers() as servers:
        for name in names:
            kept &= _run_one(name, servers, size, results, as_json=as_json)
    return 0 if kept else 1


def _run_one(name: str, servers: Servers, size: Size, results: Path | None, *, as_json: bool) -> bool:
    """Run a scenario; tell whether its promise was kept. One that cannot go on is shown, and the next one is run."""
    click.echo(f"{name}: {SCENARIOS[name].fault}; promised: {SCENARIOS[name].promise}", err=True)
    seconds = SCENARIOS[name].soak if size.duration is None else size.duration
    try:
        figures = run(SCENARIOS[name], servers, size.seed, seconds, size.platforms, _tell)
    except Unfit as reason:
        click.echo(f"{name}: not here: {reason}", err=True)
        return True
    except AssertionError as error:
        click.echo(f"{name}: stuck: {error}", err=True)
        return False
    if results is not None:
        append(results, figures)
    click.echo(json.dumps(asdict(figures)) if as_json else _shown(figures))
    return not figures.wrong


def _tell(line: str) -> None:
    click.echo(f"  {line}", err=True)


def _shown(figures: Figures) -> str:
    faults = ", ".join(f"{count} {name}" for name, count in figures.injected.items())
    verdict = "as promised" if not figures.wrong else f"NOT AS PROMISED\n{figures.wrong}"
    return (
        f"{figures.scenario} (seed {figures.seed}): {figures.records:,} records in {figures.seconds:g} s, {faults};"
        f" lost {figures.lost}, repeated {figures.repeated}, dead letters {figures.dead_letters}: {verdict}"
    )


def _hush() -> None:
    """Keep to what is told here: the clients' complaints about servers that die are the point of it."""
    warnings.simplefilter("ignore")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


if __name__ == "__main__":
    main()
