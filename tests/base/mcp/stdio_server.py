"""An MCP server over standard streams, of the older protocol, that misbehaves as it is told.

It is run by itself, without any library, so that it starts in no time. The words of its command line say how it
begins; the tools it is asked for say what it does next.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any, NoReturn, TextIO

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "odd", "version": "7"}}
TOOLS = ["call", "die", "error", "hang", "huge", "endless", "garbage", "deafen", "pages"]


def say(line: str, stream: TextIO = sys.stdout) -> None:
    stream.write(line + "\n")
    stream.flush()


def send(message: dict[str, Any]) -> None:
    say(json.dumps({"jsonrpc": "2.0", **message}))


def wait_for_ever() -> NoReturn:
    while True:
        signal.pause()


def call(request: dict[str, Any], name: str, arguments: dict[str, Any]) -> None:
    match name:
        case "die":
            say("I have seen enough", sys.stderr)
            os._exit(3)
        case "hang":
            wait_for_ever()
        case "signal_group":
            os.killpg(0, signal.SIGHUP)
        case "error":
            send({"id": request["id"], "error": {"code": arguments.get("code", -32603), "message": "out of order"}})
            return
        case "endless":
            while True:
                sys.stdout.write("x" * 65536)
        case "garbage":
            say("npm warn this is no message\n{}\n[1, 2]\n\x1b[31mred")
        case "deafen":
            os.close(0)
            wait_for_ever()
    text = "x" * arguments["size"] if name == "huge" else json.dumps(arguments)
    send({"id": request["id"], "result": {"content": [{"type": "text", "text": text}]}})


def list_tools(request: dict[str, Any], tools: list[str]) -> None:
    if "pages" not in sys.argv:
        listed = [{"name": tool, "inputSchema": {"type": "object"}} for tool in tools]
        send({"id": request["id"], "result": {"tools": listed}})
        return
    page = int(request.get("params", {}).get("cursor", 0))
    tool = {"name": f"tool-{page}", "inputSchema": {"type": "object"}}
    last = page == 2 and "endless" not in sys.argv
    send({"id": request["id"], "result": {"tools": [tool], **({} if last else {"nextCursor": str(page + 1)})}})


def answer(request: dict[str, Any]) -> None:
    match request.get("method"):
        case "initialize":
            send({"id": request["id"], "result": HELLO})
        case "tools/list":
            list_tools(request, TOOLS)
        case "tools/call":
            call(request, request["params"]["name"], request["params"].get("arguments", {}))
        case _ if "id" in request and "mute" not in sys.argv:
            send({"id": request["id"], "error": {"code": -32601, "message": "Method not found"}})


def begin() -> None:
    if "complain" in sys.argv:
        say(f"my key is {os.environ.get('API_KEY')}", sys.stderr)
    if "exit" in sys.argv:
        sys.exit(5)
    if "silent" in sys.argv:
        wait_for_ever()
    if "child" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait_for_ever()
    if "stubborn" in sys.argv:  # neither the end of its input nor SIGTERM ends it, nor the child it has
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, *sys.argv, "child"])
    if "daemon" in sys.argv:  # what it starts leaves its session
        subprocess.Popen([sys.executable, *sys.argv, "child"], start_new_session=True)


begin()
for line in sys.stdin:
    answer(json.loads(line))
if "stubborn" in sys.argv:
    wait_for_ever()
