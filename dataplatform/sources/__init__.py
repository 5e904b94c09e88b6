"""Sources: one small module or folder per technology, hooks only."""
