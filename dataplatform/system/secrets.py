"""What of an option's value is secret, which the process has to hide from the moment that it has read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

__all__ = ["secrets_of_option"]


def secrets_of_option(option: attrs.Attribute[Any], value: Any) -> Iterable[str]:
    """Return what of an option's value is secret: all of a text that is not shown, or what its metadata tell."""
    if option.repr is not False or not isinstance(value, str):
        return ()
    secrets: Iterable[str] = option.metadata["secrets"](value) if "secrets" in option.metadata else (value,)
    return secrets
