"""The command line: one module for each command or few that belong together."""
