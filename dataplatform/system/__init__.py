"""The running platform: its topology, its life, its command line and what people see of it."""
