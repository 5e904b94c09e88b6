"""Ports on this machine: choosing free ones, and finding out that one is taken before anything is started."""

from __future__ import annotations

import random
import socket

from dataplatform.errors import Permanent

__all__ = ["HOST", "free_port", "require_free"]

HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)  # below those that outgoing connections take: one of them could take it meanwhile


def free_port() -> int:
    """Return a port that nobody listens on.

    >>> free_port() in PORTS
    True
    """
    return next(port for port in random.sample(PORTS, len(PORTS)) if _is_free(port))


def require_free(port: int, option: str) -> int:
    """Return the port that `option` of `[system]` names; raises `Permanent` when somebody else has it."""
    if not _is_free(port):
        raise Permanent(
            "port_in_use",
            f"somebody else uses port {port} of {HOST}",
            remedy=f"change {option} under [system], or leave it out for a free port",
        )
    return port


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
