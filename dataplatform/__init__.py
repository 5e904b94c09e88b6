"""A platform of actors for cryptocurrency market data."""
