"""Redpanda as a source: a stream of what its topics bring, and the reading operations from what stands in them."""

from dataplatform.sources.redpanda.options import RedpandaSourceOptions
from dataplatform.sources.redpanda.source import RedpandaSource

__all__ = ["RedpandaSource", "RedpandaSourceOptions"]
