"""Leaving the log as it was: configuring it changes the whole process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from dataplatform.system.console.logs import LIBRARIES_SILENCED


@contextmanager
def restored() -> Iterator[None]:
    """Undo in the end what `configure_logs` does to structlog and to the libraries' loggers."""
    before = structlog.get_config()
    loggers = [logging.getLogger(name) for name in LIBRARIES_SILENCED]
    states = [(logger.handlers, logger.propagate) for logger in loggers]
    try:
        yield
    finally:
        structlog.configure(**before)
        for logger, (handlers, propagate) in zip(loggers, states, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
