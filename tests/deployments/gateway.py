"""A real Dask Gateway with its local backend: server, proxy, and clusters, all as one ordinary user.

Not as root, and so with the backend that separates no users: the other one of dask-gateway-server 2026.3.0 goes through
the characters of a path where it means the path, and gives the folder / to whoever starts a cluster.
"""

import base64
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.deployments.person import Person
from tests.ending import kill_tree
from tests.patience import scaled
from tests.ports import free_port

START_S = 60.0
SITE = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.address = "127.0.0.1:{api}"
c.Proxy.address = "127.0.0.1:{http}"
c.UnsafeLocalBackend.sigint_timeout = 3
c.UnsafeLocalBackend.db_url = "sqlite:///{folder}/gateway.sqlite"
c.UnsafeLocalBackend.db_encrypt_keys = ["{key}"]
c.UnsafeLocalBackend.inherited_environment = {inherited!r}
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "1 G"
"""


class DaskGateway:
    """The server's process; it is configured by the page's file, and by what a site says of its own."""

    def __init__(self, folder: Path, person: Person) -> None:
        self.folder, self._person = folder, person
        person.own(folder)
        self._inherited = sorted(person.environ.keys() - {"HOME", "USER", "LOGNAME"})
        self._ports = dict(zip(("api", "http"), (free_port(), free_port()), strict=True))
        self._key = base64.b64encode(os.urandom(32)).decode()
        self._process: subprocess.Popen[str] | None = None
        self._line = ""

    @property
    def address(self) -> str:
        """Return where people reach it."""
        return f"http://127.0.0.1:{self._ports['http']}"

    def configure(self, name: str, text: str) -> None:
        """Write the configuration: the page's, and the site's."""
        site = SITE.format(inherited=self._inherited, folder=self.folder, key=self._key, **self._ports)
        (self.folder / name).write_text(text + site)

    def start(self, line: str) -> None:
        """Type the line that starts it, and wait until it answers."""
        self._line = line
        with (self.folder / "gateway.log").open("ab") as log:
            started = f"cd {self.folder} && exec {line.removesuffix('&')}"
            self._process = self._person.starts(started, stdout=log, stderr=log)
        give_up = time.monotonic() + scaled(START_S)
        while not self._answers():
            assert self._process.poll() is None, "dask-gateway-server ended"
            assert time.monotonic() < give_up, "dask-gateway-server does not answer"
            time.sleep(0.1)

    def restart(self) -> None:
        """Kill it and its proxy, and start it anew; clusters live on meanwhile, and it knows them from its database."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.start(self._line)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/api/health", timeout=2) as answer:  # noqa: S310  loopback
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(scaled(15))
            except subprocess.TimeoutExpired:
                kill_tree(self._process)
            print((self.folder / "gateway.log").read_text()[-8000:])
