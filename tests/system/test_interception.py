"""Interception on a booted machine: the packaged unit loads the rules, they outlast the agent, and go with the unit."""

import pytest

from tests.system import images
from tests.system.acts import put, status
from tests.system.cloud import Cloud, Sender
from tests.system.conftest import Make, configure
from tests.system.machine import Machine

FORWARDED = "ASIAEXAMPLEEXAMPLE00"  # of tests.integration.letters
OTHER = "games"
UNIT = "credagent-intercept"
FOLDER = "http://169.254.169.254/latest/meta-data/iam/security-credentials"
# IMDSv2 by hand, as a program without any variable asks: prints the access key id, or the code of the refusal.
CURL = f"""
ask() {{ curl -sS -m 10 "$@"; }}
token=$(ask -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token) || exit 0
role=$(ask -H "X-aws-ec2-metadata-token: $token" {FOLDER}/)
ask -H "X-aws-ec2-metadata-token: $token" {FOLDER}/$role |
  tr -d ' ' | tr ',{{' '\\n' | grep -E 'AccessKeyId|"code"' | cut -d'"' -f4
"""


@pytest.fixture
def node(make: Make, sender: Sender, cloud: Cloud) -> Machine:
    machine = make(images.with_package(images.deb()), "--capability=CAP_NET_ADMIN")
    workers = '[workers]\nusers = ["dask"]\ngroups = []\nintercept = true\nintercept_others = "reject"\n'
    configure(machine, sender, workers)
    machine.boot()
    machine.run("systemctl", "enable", "--now", UNIT, "credagent")
    machine.run("chmod", "a+rx", "/srv")
    return machine


def asked(machine: Machine, user: str) -> str:
    """Return what `user` finds at the metadata address: a key id, a code, or nothing."""
    return machine.run("sh", "-c", CURL, user=user).strip()


def test_a_worker_gets_the_forwarded_session_root_the_machines_role_and_another_user_nothing(
    node: Machine, sender: Sender
) -> None:
    assert status(node)["problems"] == []
    put(node, sender.seal_session(status(node)["public_key"]))
    node.until(lambda: status(node)["slots"]["aws"]["origin"] == "bundle")
    machines_role = asked(node, "root")
    assert asked(node, "dask") == FORWARDED
    assert machines_role.startswith("ASIA")
    assert machines_role != FORWARDED
    assert asked(node, OTHER) == ""
    # s3cmd obeys no variable, and keeps what it finds to itself: its debug output names where it looked.
    said = node.run("s3cmd", "--debug", "ls", "s3://bucket", "--host=127.0.0.1:1", "--no-ssl", user="dask", check=False)
    assert FORWARDED in said
    assert machines_role not in said


def test_the_rules_outlast_the_agent_and_go_with_the_unit(node: Machine, sender: Sender) -> None:
    put(node, sender.seal_session(status(node)["public_key"]))
    node.until(lambda: asked(node, "dask") == FORWARDED)
    node.run("systemctl", "restart", "credagent")
    node.until(lambda: asked(node, "dask") == FORWARDED)
    node.run("systemctl", "stop", "credagent.socket", "credagent")
    assert asked(node, "dask") == ""
    node.run("systemctl", "start", "credagent.socket", "credagent")
    node.run("systemctl", "stop", UNIT)
    assert "credagent" not in node.run("nft", "list", "ruleset")
    node.until(lambda: status(node)["problems"] == ["interception-missing"])
    node.run("systemctl", "start", UNIT)
    node.until(lambda: status(node)["problems"] == [])
    node.run("dpkg", "--remove", "credagent")
    assert "credagent" not in node.run("nft", "list", "ruleset")


def test_the_unit_says_why_it_does_not_start_where_nothing_is_to_be_intercepted(node: Machine, sender: Sender) -> None:
    configure(node, sender, "[workers]\nintercept = false\n")
    node.run("systemctl", "restart", UNIT, check=False)
    assert node.property(UNIT, "ActiveState") == "failed"
    assert "interception" in node.run("journalctl", "-u", UNIT, "--no-pager")


def test_the_unit_is_sound_where_the_package_is_installed(node: Machine) -> None:
    assert node.run("systemd-analyze", "verify", f"/lib/systemd/system/{UNIT}.service", check=False) == ""
    node.run("systemd-analyze", "security", "--threshold=20", f"{UNIT}.service")
