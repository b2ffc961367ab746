"""A machine under systemd, from the package to a worker with credentials."""

import time

from tests.canary import CANARY
from tests.system import images
from tests.system.acts import deliver, in_worker, start_dask, status, variable
from tests.system.cloud import Cloud, Sender
from tests.system.conftest import Make, configure
from tests.system.machine import Machine

TOKEN = "__import__('os').environ.get('DB_TOKEN')"
PID = "__import__('os').getpid()"


def test_four_commands_take_a_node_from_nothing_to_a_worker_with_credentials(make: Make, sender: Sender) -> None:
    node = make(images.with_dask())
    node.boot()
    package = images.deb()
    (node.root / "root" / package.name).write_bytes(package.read_bytes())
    node.run("sh", "-c", f"dpkg -i /root/{package.name}")
    node.run("sh", "-c", "cat >>/etc/credagent/trusted-senders", given=f"{sender.public_key}\n")
    node.run("sh", "-c", "systemctl enable --now credagent")
    deliver(node, sender, CANARY)
    start_dask(node)
    assert in_worker(node, TOKEN) == CANARY


def test_the_unit_is_sound_where_the_package_is_installed(running: Machine) -> None:
    units = ["/lib/systemd/system/credagent.service", "/lib/systemd/system/credagent.socket"]
    units += [f"/usr/share/doc/credagent/examples/dask-{one}.service" for one in ("scheduler", "worker")]
    assert running.run("systemd-analyze", "verify", *units, check=False) == ""
    running.run("systemd-analyze", "security", "--threshold=13", "credagent.service")
    assert running.state() == "running"
    assert "origin" not in running.property("credagent", "StatusText")
    assert running.property("credagent", "StatusText").startswith("ready")


def test_a_bundle_that_lies_there_before_boot_is_in_force_after_it(node: Machine, sender: Sender) -> None:
    configure(node, sender, 'channels = ["file:/srv/credagent/bundle", "socket"]\n')
    node.boot()
    node.run("systemctl", "enable", "--now", "credagent")
    bundle = sender.seal(status(node)["public_key"])
    node.stop()
    (node.root / "srv/credagent").mkdir()
    (node.root / "srv/credagent/bundle").write_text(bundle)
    node.boot()
    node.until(lambda: node.property("credagent", "ActiveState") == "active")
    assert variable(node) == CANARY


def test_what_is_in_force_survives_a_reboot_without_its_channel(running: Machine, sender: Sender) -> None:
    deliver(running, sender, CANARY)
    running.until(lambda: variable(running) == CANARY)
    running.stop()
    running.boot()
    running.until(lambda: running.property("credagent", "ActiveState") == "active")
    assert variable(running) == CANARY


def test_without_a_bundle_the_machines_own_role_is_handed_over(running: Machine, cloud: Cloud) -> None:
    running.run("systemctl", "restart", "credagent")
    running.until(lambda: status(running)["slots"]["aws"]["origin"] == "aws-metadata")
    assert variable(running, "AWS_ACCESS_KEY_ID").startswith("ASIA")
    assert [call["outcome"] for call in cloud.ask("log", service="imds") if call.get("outcome") == "refused"] == []


def test_on_google_cloud_the_bundle_is_an_attribute_and_a_worker_reads_as_the_data_access_account(
    node: Machine, sender: Sender, google: Cloud
) -> None:
    configure(node, sender, 'channels = ["gce-attribute:credagent-bundle"]\n[google]\nhandover = "metadata"\n')
    google.ask("create_bucket", name="data", readers=["dask-data@dask-project.iam.gserviceaccount.com"], store="gcs")
    google.ask("put_object", bucket="data", key="hello.txt", data="hello", store="gcs")
    with (node.root / "etc/hosts").open("a") as hosts:  # as Google's images have it
        hosts.write("169.254.169.254 metadata.google.internal metadata\n")
    (node.root / "srv/read.py").write_text(_READ_GCS.format(gcs=google.addresses["gcs"]))
    node.boot()
    node.run("systemctl", "enable", "--now", "credagent")
    google.ask("set_attribute", name="credagent-bundle", value=sender.seal(status(node)["public_key"]))
    node.until(lambda: status(node)["slots"]["environment"]["origin"] == "bundle")
    assert status(node)["bundle"]["channel"] == "gce-attribute"
    assert status(node)["slots"]["google"]["origin"] == "google-metadata", status(node)["slots"]["google"]
    start_dask(node)
    assert in_worker(node, TOKEN) == CANARY
    assert in_worker(node, "__import__('runpy').run_path('/srv/read.py')['text']") == "hello"
    assert in_worker(node, "__import__('os').environ['GCE_METADATA_HOST']") == "127.0.0.1:9817"
    read = google.ask("log", service="gcs", operation="objects.read")
    assert [call["principal"].partition("@")[0] for call in read] == ["dask-data"]
    # By the token that the machine's metadata server gave out, and by no other.
    assert google.ask("ids_used", service="gcs") == ["google-metadata-1"]


def test_a_running_worker_sees_a_renewal_in_the_same_process(running: Machine, sender: Sender) -> None:
    deliver(running, sender, "first")
    start_dask(running)
    assert in_worker(running, TOKEN) == "first"
    pid = in_worker(running, PID)
    deliver(running, sender, CANARY)
    running.until(lambda: in_worker(running, TOKEN) == CANARY)
    assert in_worker(running, PID) == pid


def test_credentials_that_dask_brings_later_reach_the_worker_that_waits_for_them(node: Machine, sender: Sender) -> None:
    node.boot()
    node.run("systemctl", "enable", "--now", "credagent")
    start_dask(node)
    assert in_worker(node, TOKEN) == "None"
    sender.forward(node.network, "tcp://127.0.0.1:8786", CANARY)
    node.until(lambda: in_worker(node, TOKEN) == CANARY)
    assert status(node)["bundle"]["channel"] == "socket"


def test_a_changed_configuration_is_taken_at_reload_and_a_broken_one_is_not(running: Machine, sender: Sender) -> None:
    pid = running.property("credagent", "MainPID")
    configure(running, sender, "[aws]\nrequired = true\n")
    running.run("systemctl", "reload", "credagent")
    running.until(lambda: "unavailable" in running.property("credagent", "StatusText"))
    (running.root / "etc/credagent/config.toml").write_text("[aws]\nrequierd = false\n")
    running.run("systemctl", "reload", "credagent")
    running.until(lambda: "reload_failed" in running.log())
    assert running.property("credagent", "MainPID") == pid
    assert status(running)["slots"]["aws"]["required"] is True
    assert "required" in running.log()


def test_an_agent_that_stands_still_is_replaced_by_the_watchdog(running: Machine, sender: Sender) -> None:
    deliver(running, sender, CANARY)
    running.until(lambda: variable(running) == CANARY)
    running.run("mkdir", "-p", "/etc/systemd/system/credagent.service.d")
    override = running.root / "etc/systemd/system/credagent.service.d/fast.conf"
    override.write_text("[Service]\nWatchdogSec=2\n")
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "restart", "credagent")
    pid = running.property("credagent", "MainPID")
    running.run("kill", "-STOP", pid)
    running.until(lambda: running.property("credagent", "MainPID") not in (pid, "0"), 20)
    running.until(lambda: running.property("credagent", "ActiveState") == "active", 20)
    assert "Watchdog timeout" in running.log()
    assert variable(running) == CANARY


def test_workers_are_undisturbed_when_the_agent_is_killed_under_load(running: Machine, sender: Sender) -> None:
    deliver(running, sender, CANARY)
    start_dask(running)
    pid = in_worker(running, PID)
    loads = [running.start("sh", "-c", _LOAD, user="dask") for _ in range(4)]
    time.sleep(0.5)
    for _ in range(3):
        killed = running.property("credagent", "MainPID")
        running.run("kill", "-KILL", killed)
        running.until(lambda: running.property("credagent", "MainPID") not in (killed, "0"), 20)  # noqa: B023  called within this turn
        assert in_worker(running, TOKEN) == CANARY
    running.run("touch", "/srv/stop")
    for load in loads:
        load.communicate(timeout=30)
    running.until(lambda: [worker["role"] for worker in status(running)["workers"]].count("worker") == 1)
    assert in_worker(running, PID) == pid
    deliver(running, sender, "renewed")
    running.until(lambda: in_worker(running, TOKEN) == "renewed")


def test_a_squatter_gets_no_port_between_two_lives_of_the_agent(running: Machine) -> None:
    running.run("systemctl", "stop", "credagent.service")
    done = running.run("python3", "-c", _SQUAT, user="dask", check=False)
    assert "Address already in use" in done
    running.run("systemctl", "start", "credagent.service")
    held = running.run("ss", "-ltnp")
    assert held.count("127.0.0.1:9817") == held.count("[::1]:9817") == 1


def test_another_user_of_the_machine_gets_nothing(running: Machine, sender: Sender) -> None:
    deliver(running, sender, CANARY)
    running.until(lambda: variable(running) == CANARY)
    running.run("useradd", "--system", "mallory")
    for command in (
        ("credagent", "env", "--reveal"),
        ("credagent", "exec", "--", "env"),
        ("cat", "/run/credagent/worker.env"),
        ("cat", "/var/lib/credagent/recipient.key"),
        ("ls", "/run/credagent/inbox"),
        ("cat", f"/proc/{running.property('credagent', 'MainPID')}/environ"),
        ("python3", "-c", _ASK_METADATA),
    ):
        said = running.run(*command, user="mallory", check=False)
        assert CANARY not in said
        assert "access_token" not in said


def test_a_person_at_a_shell_sees_what_a_worker_would_get_and_changes_nothing(running: Machine, sender: Sender) -> None:
    deliver(running, sender, CANARY)
    running.until(lambda: variable(running) == CANARY)
    before = _contents(running)
    running.run("useradd", "--create-home", "ann")
    said = running.run("env", "HOME=/home/ann", "credagent", "run", "--once", user="ann")
    assert "bundle      none in force" in said  # what ann's own agent would find: the machine's key is not hers
    shown = running.run("env", "HOME=/home/ann", "credagent", "env", user="dask")
    assert "DB_TOKEN" in shown
    assert CANARY not in shown
    assert _contents(running) == before
    assert variable(running) == CANARY


def test_a_person_at_a_shell_of_a_node_without_agent_is_told_what_a_worker_would_get_and_why(
    node: Machine, cloud: Cloud
) -> None:
    cloud.ask("instance", role="dask-node")
    node.boot()
    before = _contents(node)
    node.run("useradd", "--create-home", "ann")
    shown = node.run("sh", "-c", "HOME=/home/ann credagent env 2>&1", user="ann")
    assert "AWS_SESSION_TOKEN" in shown
    assert "this machine's instance profile" in shown
    assert "because no bundle was ever in force here" in shown
    assert node.run("find", "/home/ann", "-name", "*credagent*") == ""
    said = node.run("env", "HOME=/home/ann", "credagent", "run", "--once", user="ann")
    assert "this machine's instance profile" in said
    assert _contents(node) == before


def _contents(machine: Machine) -> str:
    """Return what lies in the folders of the machine's agent, with dates and inodes."""
    return machine.run("find", "/run/credagent", "/var/lib/credagent", "-printf", "%p %T@ %i\n", check=False)


_READ_GCS = """
import google.auth
from google.auth.transport.requests import AuthorizedSession
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
text = AuthorizedSession(credentials).get("{gcs}/storage/v1/b/data/o/hello.txt?alt=media").text
"""

_LOAD = "while [ ! -e /srv/stop ]; do credagent env --format names >/dev/null 2>&1; done"

_SQUAT = """
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.1", 9817))
s.listen()
"""

_ASK_METADATA = """
import urllib.request
url = "http://127.0.0.1:9817/computeMetadata/v1/instance/service-accounts/default/token"
print(urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"}), timeout=5).read())
"""
