"""A broker as a part of the platform, on a loopback port: Apache Kafka where it is installed, else a light stand-in."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import socket
from contextlib import suppress
from pathlib import Path

from dataplatform.base.agent import Context
from dataplatform.base.embedded.datadir import DataDirectory
from dataplatform.base.embedded.kafka import Kafka, find_kafka
from dataplatform.base.embedded.probe import broker_serves
from dataplatform.base.embedded.process import LOCK, Program, lock_is_held
from dataplatform.base.embedded.server import Progress, ServerAgent
from dataplatform.errors import Permanent, Transient

__all__ = ["EmbeddedBroker", "broker_address"]

HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)  # below the ports that outgoing connections take: a retrying client can take those
LIGHT = "a light stand-in for trying things out, no store: killed, it can lose records it acknowledged"


def broker_address(data_dir: Path) -> str:
    """Return the address, "127.0.0.1:PORT", of the embedded broker of a data directory, from now on the same.

    The port is chosen once and remembered in `<data_dir>/broker/port`; another one is chosen only when somebody else
    has taken it. Raises `OSError` where that cannot be written.
    """
    home = DataDirectory(data_dir).broker
    remembered = _remembered(home / "port")
    if remembered and (_is_free(remembered) or lock_is_held(home / LOCK)):
        return f"{HOST}:{remembered}"
    port = next(port for port in random.sample(PORTS, len(PORTS)) if _is_free(port))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = home / "port.new"
    new.write_text(f"{port}\n")
    new.replace(home / "port")
    return f"{HOST}:{port}"


class EmbeddedBroker(ServerAgent):
    """A Kafka broker on `address`: `EmbeddedBroker.child("broker", data_dir, broker_address(data_dir))`.

    `broker_kind` tells which one it is. The light one must not be taken for a store, and says so in the log.
    """

    def __init__(self, context: Context, data_dir: Path, address: str) -> None:
        super().__init__(context)
        self._home = DataDirectory(data_dir).broker
        self._port = int(address.rpartition(":")[2])
        self._kafka: Kafka | None = None

    def _open(self) -> None:
        self._kafka = find_kafka()
        if self._kafka is None:
            self.log.warning("light broker", meaning=LIGHT, remedy="set KAFKA_HOME to an Apache Kafka to run that")
        super()._open()

    def _program(self) -> Program:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (_is_free(self._port) or lock_is_held(self._home / LOCK)):
            raise Transient(
                "port_taken",
                f"port {self._port} of {HOST} is taken by another program",
                remedy="stop that; a new start of the platform would choose another port",
            )
        return self._light_program() if self._kafka is None else self._kafka_program(self._kafka)

    def _look(self, pid: int) -> Progress:
        del pid
        return Progress.READY if broker_serves(HOST, self._port) else Progress.SILENT

    def _address(self) -> str:
        return f"{HOST}:{self._port}"

    def _light_program(self) -> Program:
        """noida-db's own start: it writes its snapshot on SIGTERM."""
        store = self._home / "light"
        command = (str(light_binary()), "start", "--only", "kafka", "--data-dir", str(store))
        return Program("the light broker", (*command, "--kafka-port", str(self._port)), self._home, signal.SIGTERM)

    def _kafka_program(self, kafka: Kafka) -> Program:
        kafka.write_settings(self._home, self._port)
        if kafka.is_formatted(self._home):
            return Program("Apache Kafka", kafka.server_command(self._home), self._home)
        return Program("Apache Kafka", kafka.format_command(self._home), self._home, then=lambda: None)


def light_binary() -> Path:
    """Return the light broker's program; raises `Permanent` where the wheel is not installed."""
    found = importlib.util.find_spec("noida_db")
    for location in (found.submodule_search_locations or []) if found else []:
        binary = Path(location, "noida-db")
        if binary.is_file():
            if not os.access(binary, os.X_OK):
                binary.chmod(0o755)
            return binary
    raise Permanent(
        "not_installed", "the embedded broker is not installed", remedy="pip install 'dataplatform[embedded]'"
    )


def _remembered(file: Path) -> int | None:
    with suppress(OSError, ValueError):
        port = int(file.read_text())
        return port if 0 < port < 65_536 else None  # noqa: PLR2004
    return None


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
