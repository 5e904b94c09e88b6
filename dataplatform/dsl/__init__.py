"""Layer 2: the language of market data: records, operations, the flow between sources and targets, and storage."""
