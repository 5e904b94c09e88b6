"""The running platform: topologies, `Platform`, and the command line."""
