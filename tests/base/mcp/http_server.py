"""An MCP server over HTTP, of the older protocol, that answers calls of its tool as a script says."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from tests.support.waiting import DEADLINE

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "raw", "version": "1"}}

Act: TypeAlias = "Callable[[Exchange], None]"


class Exchange(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece
    server: _Server
    message: dict[str, Any]

    def do_POST(self) -> None:
        self.message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.scripted.seen.append((self.message["method"], dict(self.headers)))
        match self.message["method"]:
            case "tools/call":
                script = self.server.scripted.script
                (script.popleft() if script else tool_text("{}"))(self)
            case "initialize" if refuse := self.server.scripted.refuse:
                refuse(self)
            case "initialize":
                self.result(HELLO)
            case "tools/list":
                names = self.server.scripted.tools
                self.result({"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]})
            case "notifications/initialized" | "notifications/cancelled":
                self.reply(202, b"")
            case _:
                error = {"code": -32601, "message": "Method not found"}
                self.reply(200, json.dumps({"jsonrpc": "2.0", "id": self.message["id"], "error": error}).encode())

    def do_GET(self) -> None:
        self.reply(405, b"no notifications here")

    def do_DELETE(self) -> None:
        self.server.scripted.seen.append(("DELETE", dict(self.headers)))
        self.reply(200, b"")

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""

    def result(self, result: object, kind: str = "application/json") -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": self.message["id"], "result": result}).encode()
        self.reply(200, b"event: message\ndata: " + body + b"\n\n" if "event" in kind else body, kind)

    def reply(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        session = {"Mcp-Session-Id": "s-1"} if self.server.scripted.stateful else {}
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | session | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    scripted: ScriptedMcp

    def handle_error(self, *_: object) -> None:
        """Say nothing when a client has gone."""


class ScriptedMcp:
    """Answers each call of its tool with the next act of `script`, and with an empty JSON object when that is used up.

    `refuse` answers the handshake instead; `tools` are the names of its tools, `seen` holds the methods and headers of
    what was asked.
    """

    def __init__(self) -> None:
        self.script: deque[Act] = deque()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.refuse: Act | None = None
        self.tools = ["call"]
        self.stateful = False
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Exchange)
        self._server.scripted = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/mcp"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.seen]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)


# Acts


def tool_text(*texts: str, is_error: bool = False, structured: object = None, kind: str = "application/json") -> Act:
    """Answer as the tool does, with one or more texts."""
    content: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    result = {"content": content, "isError": is_error} | ({"structuredContent": structured} if structured else {})
    return lambda exchange: exchange.result(result, kind)


def status(number: int, body: bytes = b"", kind: str = "text/plain", **headers: str) -> Act:
    """Refuse by HTTP."""
    return lambda exchange: exchange.reply(number, body, kind, **headers)


def cut_off(exchange: Exchange) -> None:
    """Promise a long body, and end it after some bytes."""
    exchange.send_response(200)
    exchange.send_header("Content-Type", "application/json")
    exchange.send_header("Content-Length", "1000")
    exchange.end_headers()
    exchange.wfile.write(b'{"jsonrpc"')
    exchange.close_connection = True


def hang_up(exchange: Exchange) -> None:
    """Close the connection without a word."""
    exchange.close_connection = True


def stay_silent(exchange: Exchange) -> None:
    """Answer nothing until the server closes."""
    exchange.server.scripted.closing.wait(DEADLINE)
    exchange.close_connection = True


def endless(exchange: Exchange) -> None:
    """Answer a body that does not end."""
    exchange.send_response(200)
    exchange.send_header("Content-Type", "application/json")
    exchange.end_headers()
    while not exchange.server.scripted.closing.is_set():
        exchange.wfile.write(b" " * 65536)
