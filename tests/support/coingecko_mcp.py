"""CoinGecko's own MCP server for tests: a program for Node.js (`scripts/coingecko-mcp`)."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from dataplatform.base.mcp import McpSettings

__all__ = ["official_server"]

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "coingecko-mcp"
UNUSABLE, FAILED = 3, 4  # exit statuses of the script
INSTALL = 300.0  # seconds at most; usually 20


def official_server(base_url: str) -> McpSettings:
    """Return the settings for a server that asks `base_url`; skips the test where there cannot be one.

    The program wants a key, whatever it is.
    """
    bin_ = installed() / "bin"
    env = {
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "COINGECKO_BASE_URL": base_url,
        "COINGECKO_DEMO_API_KEY": "a key of no use",
    }
    return McpSettings(
        transport="stdio", command=str(bin_ / "mcp-server"), env=env, connect_timeout=60.0, call_timeout=60.0
    )


def installed() -> Path:
    """Return where it is installed; install it first where it is not, or skip the test with the reason."""
    status, answer = _install()
    if status in {UNUSABLE, FAILED}:
        pytest.skip(f"no MCP server of CoinGecko's here: {answer}")
    assert status == 0, answer
    return Path(answer)


@cache
def _install() -> tuple[int, str]:
    """Return the script's exit status, and the last line it wrote: the folder, or the reason."""
    try:
        done = subprocess.run([SCRIPT], check=False, capture_output=True, text=True, timeout=INSTALL)
    except subprocess.TimeoutExpired:
        return FAILED, f"npm did not install it within {INSTALL:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines()
    return done.returncode, lines[-1].removeprefix("coingecko-mcp: ") if lines else ""
