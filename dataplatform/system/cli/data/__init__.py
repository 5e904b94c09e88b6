"""The commands that work on what a platform has stored: dead letters, backfill, replay, positions, storage."""
