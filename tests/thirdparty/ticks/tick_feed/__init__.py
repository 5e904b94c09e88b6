"""Prices that an exchange pushes, a line each, over a connection that stays open."""
