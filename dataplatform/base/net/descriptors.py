"""File descriptors: as many as the machine grants, and how many of them clients may use up."""

from __future__ import annotations

import resource

__all__ = ["descriptors", "left_to_clients"]

MOST = 65_536  # more are of no use, and some kernels grant them to nobody
RESERVE = 256  # for the platform's own connections, files and pipes


def descriptors() -> int:
    """Return how many descriptors this process may have open, after its limit was raised as far as it may raise it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has limits of its own
        return soft
    return wanted


def left_to_clients(most: int) -> int:
    """Return how many clients may be connected at once: `most`, or less where descriptors are scarce.

    However many they are, the platform keeps those that it needs itself.
    """
    return max(1, min(most, (descriptors() - RESERVE) // 2))
