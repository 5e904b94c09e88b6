"""A CoinGecko-compatible server with a seeded market, for use without a network. Its data is labelled `simulator`."""

from typing import TYPE_CHECKING

from dataplatform.faces import face

if TYPE_CHECKING:
    from dataplatform.simulator.api import ServedRequest
    from dataplatform.simulator.app import create_app
    from dataplatform.simulator.faults import ArmedFault, Fault, Faults
    from dataplatform.simulator.market import Candle, Market, UnknownCoinError, UnknownCurrencyError
    from dataplatform.simulator.mcp.form import McpForm
    from dataplatform.simulator.server import Simulator, SimulatorSettings
else:
    __getattr__, __dir__ = face(__name__)

__all__ = [
    "ArmedFault",
    "Candle",
    "Fault",
    "Faults",
    "Market",
    "McpForm",
    "ServedRequest",
    "Simulator",
    "SimulatorSettings",
    "UnknownCoinError",
    "UnknownCurrencyError",
    "create_app",
]
