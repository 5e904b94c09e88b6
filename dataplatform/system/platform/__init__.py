"""The running platform: assembled from a topology, started, counted, stopped and reported."""
