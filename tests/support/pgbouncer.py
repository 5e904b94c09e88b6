"""PgBouncer for tests: the one installed, or Debian's, unpacked once into a folder of its own; no rights are needed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from attrs import frozen

from tests.base.database.cluster import Cluster, free_port
from tests.support.secure_kafka import Certificate

__all__ = ["PgBouncer", "pgbouncer"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "dataplatform", "pgbouncer")
BINARY = Path("usr", "sbin", "pgbouncer")
NEEDS = re.compile(r"Depends: (lib(?:event|c-ares|cares)\S*)")  # which no other package of a small machine has brought
FETCHING, STARTING = 120.0, 60.0  # seconds
CONFIG = """
[databases]
* = host={folder} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
min_pool_size = 2
server_round_robin = 1
ignore_startup_parameters =
"""

TLS = """
client_tls_sslmode = require
client_tls_cert_file = {certificate}
client_tls_key_file = {key}
"""


@frozen
class PgBouncer:
    """A running proxy before a cluster: it pools transactions, and takes the sessions in turn."""

    port: int

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


@contextmanager
def pgbouncer(cluster: Cluster, certificate: Certificate | None = None) -> Iterator[PgBouncer]:
    """Run a PgBouncer, which with a certificate asks for TLS; skips the test with the reason where there is none."""
    root, reason = _fetched()
    if root is None:
        pytest.skip(reason)
    listen = free_port()
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder:
        config = Path(folder, "pgbouncer.ini")
        config.write_text(CONFIG.format(folder=cluster.folder, port=cluster.port, listen=listen))
        Path(folder).chmod(0o755)
        if certificate is not None:
            with config.open("a") as more:
                more.write(TLS.format(certificate=_own(certificate.file, folder), key=_own(certificate.key, folder)))
        if root == CACHE:
            root = shutil.copytree(CACHE, Path(folder, "root"), symlinks=True)  # root's files are not for its user
        libraries = ":".join(str(path.parent) for path in root.rglob("lib*.so*")) if root != Path("/") else ""
        environment = os.environ | ({"LD_LIBRARY_PATH": libraries} if libraries else {})
        user = cluster.user  # it refuses to run as root
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([root / BINARY, config], env=environment, stdout=log, stderr=log, **user)
        try:
            proxy = PgBouncer(listen)
            _wait(proxy, process, Path(folder, "log"))
            yield proxy
        finally:
            process.kill()
            process.wait()


def _own(file: Path, folder: str) -> Path:
    """Copy a file to where the proxy may read it."""
    copy = Path(shutil.copy(file, folder))
    copy.chmod(0o644)
    return copy


def _wait(proxy: PgBouncer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while True:
        try:
            socket.create_connection(("127.0.0.1", proxy.port), STARTING).close()
        except ConnectionRefusedError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        else:
            return


@cache
def _fetched() -> tuple[Path | None, str]:
    """Return under which folder PgBouncer is installed, or None and why it is not."""
    if (Path("/") / BINARY).exists():
        return Path("/"), ""
    if (CACHE / BINARY).exists():
        return CACHE, ""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None, "no PgBouncer: it is not installed, and there is no apt-get to fetch it"
    with tempfile.TemporaryDirectory() as folder:
        if error := _download(Path(folder)):
            return None, f"no PgBouncer: {error}"
        new = Path(folder, "root")
        for package in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, new], check=True, timeout=FETCHING)
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(new, CACHE, dirs_exist_ok=True, symlinks=True)
    return CACHE, ""


def _download(folder: Path) -> str:
    """Put Debian's packages into the folder; return what went wrong."""
    depends = subprocess.run(["apt-cache", "depends", "pgbouncer"], capture_output=True, text=True, check=False)
    if depends.returncode != 0 and os.geteuid() == 0:  # a fresh machine has no lists
        subprocess.run(["apt-get", "update"], capture_output=True, timeout=FETCHING, check=False)
        depends = subprocess.run(["apt-cache", "depends", "pgbouncer"], capture_output=True, text=True, check=False)
    names = ["pgbouncer", *NEEDS.findall(depends.stdout)]
    command = ["apt-get", "download", *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCHING, check=False)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-300:]
