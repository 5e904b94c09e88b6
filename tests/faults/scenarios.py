"""All scenarios; to import this enters them into the registry."""

from __future__ import annotations

from tests.faults import copies, databases, deaths, everything, groups, machines, networks, resources
from tests.faults.registry import SCENARIOS

__all__ = ["SCENARIOS", "copies", "databases", "deaths", "everything", "groups", "machines", "networks", "resources"]
