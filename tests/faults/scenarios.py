"""All scenarios; to import this enters them into the registry."""

from __future__ import annotations

from tests.faults import databases, deaths, groups, machines, networks, resources
from tests.faults.registry import SCENARIOS

__all__ = ["SCENARIOS", "databases", "deaths", "groups", "machines", "networks", "resources"]
