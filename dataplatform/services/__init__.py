"""Services: what is composed of sources and targets, and offers the platform to somebody else."""
