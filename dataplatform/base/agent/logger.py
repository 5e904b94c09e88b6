"""The platform's loggers: whatever they show is redacted first, tracebacks included, however logs are configured."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import structlog

from dataplatform.redaction import REDACTOR

__all__ = ["Event", "get_logger", "redact_event"]

Event = MutableMapping[str, Any]


def get_logger(agent: str) -> Any:
    """Return a logger of an agent; each event goes where the configuration of structlog says at that time."""
    processors: list[Any] = [structlog.processors.format_exc_info, redact_event, _as_configured]
    return structlog.wrap_logger(None, processors=processors).bind(agent=agent)


def redact_event(_logger: Any, _method: str, event: Event) -> Event:
    """Mask secrets in each value of an event, a processor of structlog."""
    for key, value in event.items():
        event[key] = REDACTOR.clean(value)
    return event


def _as_configured(logger: Any, method: str, event: Any) -> Any:
    """Hand an event through the processors that are configured now, such as those of a test that captures it."""
    for processor in structlog.get_config()["processors"]:
        event = processor(logger, method, event)
    return event
