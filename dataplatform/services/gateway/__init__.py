"""The gateway: the one way into a running platform, for its owner and for whoever is let in."""
