"""Layer 2: the language of market data: types, operations, readers and writers, and the flow between them."""
