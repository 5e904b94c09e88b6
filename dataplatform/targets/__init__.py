"""Targets: one small module per technology, hooks only."""
