"""Run the simulator in the foreground: `python -m dataplatform.simulator --port 8000 --seed 7`."""

from __future__ import annotations

import signal
import threading

import click
import msgspec

from dataplatform.output import take_any_text
from dataplatform.simulator.faults import Fault, fault_from_json
from dataplatform.simulator.market import Market
from dataplatform.simulator.server import Simulator, SimulatorSettings


def _faults(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> list[Fault]:
    try:
        return [fault_from_json(msgspec.json.decode(value)) for value in values]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8000, type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one.")
@click.option("--seed", default=1, help="Which of the possible markets it is.")
@click.option("--step", default=1.0, type=click.FloatRange(min=0, min_open=True), help="Seconds between two refreshes.")
@click.option(
    "--mcp", type=click.Choice(["static", "code"]), help="Serve these MCP tools over stdin and stdout instead."
)
@click.option("--wrapped", is_flag=True, help="With --mcp code: wrap the answers, as a hosted server does.")
@click.option(
    "--fault", "faults", multiple=True, callback=_faults, help="With --mcp: a fault, as JSON; may be repeated."
)
def main(host: str, port: int, seed: int, step: float, mcp: str | None, faults: list[Fault], *, wrapped: bool) -> None:
    """Serve a simulated CoinGecko until SIGINT or SIGTERM, or its MCP server until the input ends.

    Example: python -m dataplatform.simulator --port 8000 --seed 7
    """
    if mcp is not None:
        from dataplatform.simulator.mcp.stdio import serve_stdio  # noqa: PLC0415  half a second that HTTP need not wait

        serve_stdio(mcp, Market(seed, step), faults, wrapped=wrapped)
        return
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
    take_any_text()
    main()
