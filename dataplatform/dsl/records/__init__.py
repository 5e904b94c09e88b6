"""Records of market data: their types and kinds, what their fields may hold, and their form in JSON."""
