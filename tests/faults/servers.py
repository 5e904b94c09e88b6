"""The servers of all scenarios: brokers and PostgreSQL, each on a small disk of its own, behind proxies."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from attrs import define, field

from tests.faults.cluster import KafkaCluster
from tests.faults.database import Postgres
from tests.faults.proxy import Proxy

__all__ = ["Servers", "Unfit"]

DISK = "2g"  # a small disk's size; it is in memory


class Unfit(Exception):
    """This machine, or this user of it, cannot have the fault; says why."""


@define(eq=False)
class Servers:
    """Brokers and PostgreSQL, started when first asked for, and shared by scenarios that bring them back to life.

    Their sockets' folder has a short path, whoever may enter.
    """

    folder: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp")))
    proxies: dict[int, list[Proxy]] = field(factory=dict)
    _disks: list[Path] = field(factory=list)
    _clusters: dict[int, KafkaCluster] = field(factory=dict)
    _postgres: Postgres | None = None

    def kafka(self, nodes: int = 1) -> KafkaCluster:
        """Return the cluster of so many nodes; its listener for platforms is behind a proxy a node."""
        if nodes not in self._clusters:
            proxies = self.proxies.setdefault(nodes, [Proxy() for _ in range(nodes)])
            home = self.folder / f"kafka-{nodes}"
            self._small_disk(home / "node-1")
            cluster = KafkaCluster(home, nodes, [proxy.port for proxy in proxies])
            self._clusters[nodes] = cluster
            cluster.start()
            for proxy, node in zip(proxies, cluster.nodes, strict=True):
                proxy.target = node.ports.platform
        return self._clusters[nodes]

    def postgres(self) -> Postgres:
        if self._postgres is None:
            self.folder.chmod(0o711)
            home = self.folder / "postgres"
            self._small_disk(home)
            self._postgres = Postgres(home)
        return self._postgres

    def _small_disk(self, home: Path) -> None:
        """Make a folder, on a disk of its own where this user may mount one."""
        home.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            ran = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(home)], check=False)
            if ran.returncode == 0:
                self._disks.append(home)

    def mend(self, nodes: int) -> None:
        """Bring back to life what an earlier scenario left dead, and have fair weather; end clusters of other sizes."""
        for proxy in itertools.chain.from_iterable(self.proxies.values()):
            proxy.clear()
        for size, cluster in self._clusters.items():
            if size == nodes:
                cluster.mend()
            else:
                cluster.close()
        if self._postgres is not None and not self._postgres.runs():
            self._postgres.start()

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for disk in self._disks:
                stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
            for proxy in itertools.chain.from_iterable(self.proxies.values()):
                stack.callback(proxy.close)
            for cluster in self._clusters.values():
                stack.callback(cluster.close)
            if self._postgres is not None:
                stack.callback(self._postgres.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
