"""The simulator as a supervised agent of a platform."""

from __future__ import annotations

from typing import ClassVar, Never

from dataplatform.base.agent import Agent, Context
from dataplatform.simulator.server import Simulator, SimulatorSettings

__all__ = ["SimulatorAgent"]


class SimulatorAgent(Agent):
    """Serves the simulated CoinGecko on the port it was given, the same one after a restart."""

    kind: ClassVar[str] = "server"

    def __init__(self, context: Context, settings: SimulatorSettings) -> None:
        super().__init__(context)
        self.simulator = Simulator(settings)

    def _open(self) -> None:
        self.simulator.start()
        self.log.info("serving simulated data", url=self.simulator.base_url)

    def receive(self, message: Never) -> None:
        """Take no messages of its own: it is spoken to over HTTP."""
        raise AssertionError(f"unexpected message {message!r}")

    def _close(self) -> None:
        self.simulator.stop()
