"""Run the simulator in the foreground: `python -m dataplatform.simulator --port 8000 --seed 7`."""

from __future__ import annotations

import signal
import threading

import click

from dataplatform.simulator.server import Simulator, SimulatorSettings


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8000, type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one.")
@click.option("--seed", default=1, help="Which of the possible markets it is.")
@click.option("--step", default=1.0, type=click.FloatRange(min=0, min_open=True), help="Seconds between two refreshes.")
def main(host: str, port: int, seed: int, step: float) -> None:
    """Serve a simulated CoinGecko until SIGINT or SIGTERM.

    Example: python -m dataplatform.simulator --port 8000 --seed 7
    """
    asked_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_stop.set())
    try:
        with Simulator(SimulatorSettings(host=host, port=port, seed=seed, step=step)) as simulator:
            click.echo(simulator.base_url)
            asked_to_stop.wait()
    except OSError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
