"""Of all that a dying program writes, the line that tells what went wrong is quoted."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from dataplatform.base.mcp import ListTools
from dataplatform.base.mcp.process import telling_line
from tests.base.mcp.driven_client import Client

NODE_MODULE = """\
node:internal/modules/esm/resolve:873
throw new ERR_MODULE_NOT_FOUND(packageName, fileURLToPath(base), null);
^
Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'nope' imported from /srv/app.mjs
at packageResolve (node:internal/modules/esm/resolve:873:9)
at moduleResolve (node:internal/modules/esm/resolve:946:18) {
code: 'ERR_MODULE_NOT_FOUND'
}
Node.js v20.20.2"""
NODE_CAUSE = """\
/srv/app.js:1
TypeError: fetch failed
at Object.<anonymous> (/srv/app.js:1:9)
... 4 lines matching cause stack trace ...
at node:internal/main/run_main_module:28:49 {
code: 'EBAD',
[cause]: Error: getaddrinfo ENOTFOUND api.example
at Object.<anonymous> (/srv/app.js:1:36)
}
Node.js v20.20.2"""
NODE_REJECTION = """\
node:internal/process/promises:389
UnhandledPromiseRejection: This error originated by rejecting a promise. The reason "#<Object>".
at processPromiseRejections (node:internal/process/promises:470:17) {
code: 'ERR_UNHANDLED_REJECTION'
}
Node.js v20.20.2"""
NPM = """\
npm error code ENOTFOUND
npm error syscall getaddrinfo
npm error errno ENOTFOUND
npm error network request to https://registry.example/x failed, reason: getaddrinfo ENOTFOUND
npm error network This is a problem related to network connectivity.
npm error network
npm notice
npm notice To update run: npm install -g npm@11.21.2
npm error A complete log of this run can be found in: /root/.npm/_logs/debug-0.log"""
OLD_NPM = """\
npm ERR! code E404
npm ERR! 404 Not Found - GET https://registry.example/x
npm ERR! A complete log of this run can be found in:
npm ERR!     /root/.npm/_logs/debug-0.log"""
PYTHON = """\
Traceback (most recent call last):
File "server.py", line 1, in <module>
ModuleNotFoundError: No module named 'nope'"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (NODE_MODULE, "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'nope' imported from /srv/app.mjs"),
        (NODE_CAUSE, "TypeError: fetch failed"),
        (
            NODE_REJECTION,
            'UnhandledPromiseRejection: This error originated by rejecting a promise. The reason "#<Object>".',
        ),
        (NPM, "npm error network request to https://registry.example/x failed, reason: getaddrinfo ENOTFOUND"),
        (OLD_NPM, "npm ERR! 404 Not Found - GET https://registry.example/x"),
        (PYTHON, "ModuleNotFoundError: No module named 'nope'"),
        ("starting\nsh: 1: mcp-server: not found", "sh: 1: mcp-server: not found"),
        ("loading\nNode.js v20.20.2", "loading"),
        ("}", "}"),
        ("", ""),
    ],
)
def test_the_line_that_tells_the_reason_is_quoted(text: str, line: str) -> None:
    assert telling_line(text.splitlines()) == line


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed here")
def test_the_death_of_a_node_server_tells_its_error(start: Callable[..., Client]) -> None:
    client = start(
        transport="stdio", command="node", args=("-e", "throw new Error('no API key')"), connect_timeout=60.0
    )
    assert client.fail(ListTools()).message == "cannot reach node: it exited with status 1; it said: Error: no API key"
