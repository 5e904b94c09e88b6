"""The secrets of a topology: what the process has to hide from the moment that it has read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from dataplatform.system.specs import Topology

__all__ = ["secrets_of", "secrets_of_option"]


def secrets_of_option(option: attrs.Attribute[Any], value: Any) -> Iterable[str]:
    """Return what of an option's value is secret: all of a text that is not shown, or what its metadata tell."""
    if option.repr is not False or not isinstance(value, str):
        return ()
    secrets: Iterable[str] = option.metadata["secrets"](value) if "secrets" in option.metadata else (value,)
    return secrets


def secrets_of(topology: Topology) -> set[str]:
    """Return the passwords and keys of a topology's clients."""
    found: set[str] = set()
    for spec in topology.clients.values():
        for option in attrs.fields(type(spec.settings)):
            found.update(secrets_of_option(option, getattr(spec.settings, option.name)))
        found.update(getattr(spec.settings, "secrets", ()))
    return found
