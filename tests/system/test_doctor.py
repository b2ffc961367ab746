"""`doctor` on a booted node with Dask: silent, and then with faults that need systemd, other users or namespaces."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.canary import CANARY
from tests.patience import scaled
from tests.system.acts import deliver, in_worker, start_dask, variable
from tests.system.cloud import Sender
from tests.system.conftest import configure
from tests.system.machine import Machine

TOKEN = "__import__('os').environ.get('DB_TOKEN')"


def findings(node: Machine) -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads(node.run("credagent", "doctor", "--json", check=False))
    found: list[dict[str, Any]] = document["findings"]
    return found


def codes(node: Machine) -> list[str]:
    return [one["code"] for one in findings(node)]


def typed(finding: dict[str, Any]) -> str:
    """Return the first command of a remedy."""
    return str(finding["remedy"].split("`")[1])


def mended_by_what_is_typed(node: Machine, code: str) -> None:
    """See one finding, type its remedy as root, and see none."""
    (found,) = findings(node)
    assert found["code"] == code, found
    node.run("sh", "-c", typed(found))
    node.until(lambda: codes(node) == [], scaled(60))


@contextmanager
def background(node: Machine, *command: str, user: str) -> Iterator["subprocess.Popen[str]"]:
    process = node.start(*command, user=user)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(name="node")
def _node(running: Machine, sender: Sender) -> Machine:
    """Return a node whose Dask worker has credentials, and where doctor finds nothing."""
    deliver(running, sender, CANARY)
    running.until(lambda: variable(running) == CANARY)
    start_dask(running)
    assert in_worker(running, TOKEN) == CANARY
    running.until(lambda: codes(running) == [], scaled(60))
    return running


def test_what_systemd_has_to_do_is_typed_as_it_is_said(node: Machine) -> None:
    node.run("systemctl", "disable", "credagent")
    mended_by_what_is_typed(node, "unit-not-enabled")

    node.run("systemctl", "stop", "credagent.service")
    mended_by_what_is_typed(node, "no-agent")

    node.run("systemctl", "stop", "credagent.service", "credagent.socket")
    node.run("systemctl", "mask", "--runtime", "credagent.service")
    (masked,) = findings(node)
    assert (masked["code"], "systemctl unmask credagent.service" in masked["remedy"]) == ("unit-masked", True)
    node.run("systemctl", "unmask", "--runtime", "credagent.service")
    node.run("systemctl", "start", "credagent")
    node.until(lambda: codes(node) == [], scaled(60))

    for path, mode, code in (
        ("/run/credagent/worker.env", "0644", "file-mode"),
        ("/run/credagent", "0700", "folder-mode"),
    ):
        node.run("chmod", mode, path)
        (open_one,) = [one for one in findings(node) if one["subject"] == path] or [{}]
        assert open_one.get("code") in (code, None)  # the agent itself gives a folder its rights again
        node.run("chmod", "0751" if path == "/run/credagent" else "0600", path)

    pid = node.property("credagent", "MainPID")
    node.run("kill", "-STOP", pid)
    mended_by_what_is_typed(node, "agent-stopped")

    node.run("sh", "-c", "mkdir -p ~dask/.aws && printf '[default]\\naws_access_key_id = x\\n' >~dask/.aws/credentials")
    mended_by_what_is_typed(node, "file-shadows")

    worker = node.run("sh", "-c", "pgrep -u dask -f spawn_main").split()[0]
    node.run("kill", "-STOP", worker)
    mended_by_what_is_typed(node, "worker-stopped")

    options = ("--no-nanny", "--no-dashboard", "tcp://127.0.0.1:8786")
    with background(node, "/opt/dask/bin/dask", "worker", *options, user="dask"):
        node.until(lambda: codes(node) == ["worker-without-preload"], scaled(60))
    node.run("sh", "-c", "pkill -u dask -f no-nanny || true")
    node.until(lambda: codes(node) == [], scaled(60))


def test_a_container_that_reaches_metadata_a_full_memory_and_a_rule_that_is_missing_are_named(
    node: Machine, sender: Sender
) -> None:
    with background(node, "unshare", "-n", "sh", "-c", _CONTAINER, user="root"):
        node.until(lambda: node.run("sh", "-c", "pgrep -f serve_forever || true"))
        node.until(lambda: codes(node) == ["container-reaches-metadata"], scaled(60))

    node.run("sh", "-c", "fallocate -l $(($(stat -f -c '%a*%S' /run))) /run/filler")
    assert codes(node) == ["folder-full"]
    node.run("rm", "/run/filler")
    node.until(lambda: codes(node) == [], scaled(60))

    configure(node, sender, "[workers]\nintercept = true\n")
    (newer,) = findings(node)
    assert newer["code"] == "configuration-not-loaded"
    node.run("sh", "-c", typed(newer))
    (waits,) = findings(node)
    assert (waits["code"], "workers.intercept" in waits["found"]) == ("restart-needed", True)
    node.run("sh", "-c", typed(waits))
    node.until(lambda: codes(node) == ["interception-missing"], scaled(60))


_CONTAINER = """
ip link set lo up
ip addr add 169.254.169.254/32 dev lo
exec python3 -c '
import http.server
class Token(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"token")
http.server.HTTPServer(("169.254.169.254", 80), Token).serve_forever()'
"""
