"""Redpanda as a source: a stream of what its topics bring, and the reading operations from what stands in them."""

from dataplatform.sources.redpanda.source import RedpandaSource, RedpandaSourceOptions

__all__ = ["RedpandaSource", "RedpandaSourceOptions"]
