"""Topologies: read from TOML, every key checked, every mistake named with file and line; and what is installed."""
