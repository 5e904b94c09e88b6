"""TimescaleDB as a source: every reading operation from the tables."""

from dataplatform.sources.timescale.source import TimescaleSource, TimescaleSourceOptions

__all__ = ["TimescaleSource", "TimescaleSourceOptions"]
