"""Interception in a network namespace: whoever asks the cloud's metadata address gets what his user is meant to have.

The simulator answers there as the machine's own service; the rules are those that credagent-intercept.service loads.
"""

import json
import os
import shutil
import sys

import pytest

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.demo.stage import clean_environment
from tests.integration.agents import Machine, machine
from tests.integration.forwarder.network import possible
from tests.integration.letters import letter
from tests.integration.metadata_address import Cloud, Space, space

__all__ = ["machine", "space"]

pytestmark = [
    pytest.mark.skipif(not possible(), reason="needs network namespaces (root)"),
    pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft"),
    pytest.mark.xdist_group("metadata-address"),
]

WORKER, OTHER, ROOT = 64_101, 64_102, 0
PORT = 9817
FORWARDED, MACHINE = "ASIAEXAMPLEEXAMPLE00", "machine's role"
OF_TESTS = ("AWS_EC2_METADATA_DISABLED", "NO_GCE_CHECK")

# Becomes a user and asks as a program without any variable does; prints what it got.
ASK = """
import encodings.idna, http.client, json, os, sys
uid, address, method, path, headers = json.load(sys.stdin)
port = int(headers.pop("port", 80))
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
connection = http.client.HTTPConnection(address, port, timeout=10)
try:
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    print(json.dumps([answer.status, answer.read().decode()]))
except OSError as error:
    print(json.dumps([0, type(error).__name__]))
"""
# Whatever is imported late is imported before: the checkout and the interpreter may be root's alone.
BECOME = """
import encodings.idna, os, sys
{imports}
uid = int(sys.argv[1])
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
{program}
"""
BOTO3 = BECOME.format(
    imports="import _strptime, boto3; session = boto3.Session(); session._session.get_component('credential_provider')",
    program="found = session.get_credentials(); print(found and found.access_key)",
)
GOOGLE = BECOME.format(
    imports="import google.auth, google.auth.exceptions as errors, google.auth.compute_engine\n"
    "import google.oauth2.credentials, google.auth.transport._http_client, google.auth.transport.requests as requests",
    program="""
try:
    found, _ = google.auth.default()
    found.refresh(requests.Request())
    print(found.token)
except errors.GoogleAuthError as error:
    print(type(error).__name__)
""",
)


class Node:
    """A machine with a cloud's metadata service, an agent that intercepts, and users that ask."""

    def __init__(self, space: Space, machine: Machine) -> None:
        self.space, self.machine = space, machine
        self.environ = {name: value for name, value in machine.environ.items() if name not in OF_TESTS}
        os.chmod(machine.folder, 0o755)  # noqa: S103  workers pass through to the runtime folder
        self.configure()

    def configure(self, **workers: object) -> None:
        listen = [f"127.0.0.1:{PORT}", f"[::1]:{PORT}"]
        users = {"users": [str(WORKER)], "groups": [], "intercept": True}
        self.machine.configure(endpoint={"listen": listen}, workers={**users, **workers})

    def start(self) -> None:
        self.machine.program = [*self.space.enter, *self.machine.program]
        self.environ = {**self.environ}
        self.machine.environ = self.environ
        self.machine.start()

    def load(self) -> None:
        """Load the rules, as the unit does."""
        program = [sys.executable, "-m", "credagent", "check-config", "--config", str(self.machine.config)]
        rules = self.space.run(*program, "--nftables", environ=self.environ)
        self.space.run("nft", "-f", "-", text=rules)

    def unload(self) -> None:
        self.space.run("nft", "delete", "table", "inet", "credagent_intercept")

    def ask(
        self, uid: int, path: str, *, method: str = "GET", address: str = "169.254.169.254", **headers: str
    ) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = json.dumps([uid, address, method, path, named])
        status, body = json.loads(self.space.run(sys.executable, "-I", "-c", ASK, text=asked, environ=self.environ))
        return status, body

    def imds(self, uid: int, path: str, *, address: str = "169.254.169.254") -> tuple[int, str]:
        """Ask as IMDSv2 wants to be asked."""
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        status, token = self.ask(uid, "/latest/api/token", method="PUT", address=address, **ttl)
        if status != 200:
            return status, token
        return self.ask(uid, path, address=address, **{"X-aws-ec2-metadata-token": token})

    def identity(self, uid: int, *, address: str = "169.254.169.254") -> str:
        """Return whose credentials `uid` gets from the metadata address, or the code of the refusal."""
        folder = "/latest/meta-data/iam/security-credentials"
        status, role = self.imds(uid, f"{folder}/", address=address)
        if status != 200:
            return str(json.loads(role)["code"]) if role.startswith("{") else role
        status, document = self.imds(uid, f"{folder}/{role}", address=address)
        assert status == 200, document
        assert CANARY not in document or role == "credagent"
        return FORWARDED if json.loads(document)["AccessKeyId"] == FORWARDED else MACHINE

    def client(self, program: str, uid: int) -> str:
        """Run a client library as `uid`, without any variable that would lead it."""
        environ = {**clean_environment(), "HOME": "/nonexistent"}
        for name in OF_TESTS:
            del environ[name]
        return self.space.run(sys.executable, "-c", program, str(uid), environ=environ).strip()

    def until_problems(self, *expected: str) -> None:
        self.machine.until(lambda: self.machine.status().get("problems") == list(expected), 60)


@pytest.fixture
def node(space: Space, machine: Machine) -> Node:
    Cloud(space, machine.folder, "imds")
    return Node(space, machine)


def test_a_worker_gets_the_forwarded_session_root_the_machines_role_and_others_nothing_of_either_where_rejected(
    node: Node,
) -> None:
    node.configure(intercept_others="reject")
    node.machine.put(node.machine.sealed(letter(aws=Statement.GRANTED)))
    node.load()
    node.start()
    for address in ("169.254.169.254", "fd00:ec2::254"):
        assert node.identity(WORKER, address=address) == FORWARDED
        assert node.ask(OTHER, "/latest/meta-data/", address=address)[0] == 0
    assert node.identity(ROOT) == MACHINE
    assert node.client(BOTO3, WORKER) == FORWARDED
    assert node.client(BOTO3, ROOT) not in ("None", FORWARDED)
    assert node.client(BOTO3, OTHER) == "None"
    assert node.machine.status()["problems"] == []
    assert node.machine.status()["slots"]["aws"]["handover"] == "environment"


def test_it_is_so_where_the_metadata_service_is_a_network_away_as_on_a_real_machine(
    space: Space, machine: Machine
) -> None:
    far = Space("f")
    try:
        far.build()
        space.move_metadata_to(far)
        Cloud(far, machine.folder, "imds")
        node = Node(space, machine)
        machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
        node.load()
        node.start()
        assert node.identity(ROOT) == MACHINE
        for address in ("169.254.169.254", "fd00:ec2::254"):
            assert node.identity(WORKER, address=address) == FORWARDED
        assert machine.stop() == 0
        for address in ("169.254.169.254", "fd00:ec2::254"):
            assert node.identity(WORKER, address=address) == "ConnectionRefusedError"
    finally:
        far.end()


def test_an_empty_or_withdrawn_slot_and_an_agent_that_is_away_are_errors_and_never_the_machines_role(
    node: Node,
) -> None:
    node.machine.configure(aws={"fallback": "never"})
    node.load()
    node.start()
    assert node.identity(WORKER) == "no-credentials"
    node.machine.put(node.machine.sealed(letter(aws=Statement.GRANTED, later_s=1)))
    node.machine.until(lambda: node.identity(WORKER) == FORWARDED)
    node.machine.put(node.machine.sealed(letter(aws=Statement.WITHDRAWN, later_s=2)))
    node.machine.until(lambda: node.identity(WORKER) == "withdrawn")
    assert node.client(BOTO3, WORKER) == "None"
    assert node.machine.stop() == 0
    assert node.identity(WORKER) == "ConnectionRefusedError"
    assert node.identity(ROOT) == MACHINE


def test_other_ports_of_the_address_are_refused_to_workers_and_googles_address_of_ipv6_is_answered(node: Node) -> None:
    """On Google Cloud the service answers on 443 and 8080 too."""
    server = ("-m", "http.server", "8080", "--bind", "169.254.169.254", "--directory", str(node.machine.folder))
    node.space.start(sys.executable, *server, environ=node.environ, output=node.machine.folder / "8080.log")
    node.machine.put(node.machine.sealed(letter(aws=Statement.GRANTED)))
    node.load()
    node.start()
    node.machine.until(lambda: node.ask(ROOT, "/nothing", port="8080")[0] == 404)
    assert node.ask(OTHER, "/nothing", port="8080")[0] == 404
    assert node.ask(WORKER, "/nothing", port="8080")[0] == 0
    assert node.identity(WORKER, address="fd20:ce::254") == FORWARDED


def test_what_is_not_for_workers_is_refused_and_the_region_is_told(node: Node) -> None:
    node.machine.configure(aws={"region": "eu-north-1"})
    node.machine.put(node.machine.sealed(letter(aws=Statement.GRANTED)))
    node.load()
    node.start()
    assert node.imds(WORKER, "/latest/meta-data/placement/region") == (200, "eu-north-1")
    assert node.imds(WORKER, "/latest/meta-data/placement/availability-zone")[1][:-1] == "eu-north-1"
    assert json.loads(node.imds(WORKER, "/latest/dynamic/instance-identity/document")[1]) == {"region": "eu-north-1"}
    refused = [
        "user-data",
        "meta-data/hostname",
        "meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
    ]
    for path in [*refused, "dynamic/instance-identity/pkcs7", "meta-data/iam/security-credentials-extended/"]:
        status, body = node.imds(WORKER, f"/latest/{path}")
        assert (status, json.loads(body)["code"]) == (404, "not-for-workers")


def test_imdsv1_is_answered_only_where_the_configuration_says_so(node: Node) -> None:
    node.machine.put(node.machine.sealed(letter(aws=Statement.GRANTED)))
    node.load()
    node.start()
    path = "/latest/meta-data/iam/security-credentials/credagent"
    assert node.ask(WORKER, path)[0] == 401
    node.machine.stop()
    node.configure(intercept_imdsv1=True)
    node.machine.start()
    assert json.loads(node.ask(WORKER, path)[1])["AccessKeyId"] == FORWARDED
    assert node.ask(WORKER, path, X_aws_ec2_metadata_token="made-up")[0] == 401


def test_a_direct_request_is_not_taken_for_an_intercepted_one(node: Node) -> None:
    node.machine.put(node.machine.sealed(letter(aws=Statement.GRANTED)))
    node.load()
    node.start()
    path = "/latest/meta-data/iam/security-credentials/"
    for host in ("169.254.169.254", "metadata.google.internal", f"127.0.0.1:{PORT}"):
        asked = json.dumps([WORKER, "127.0.0.1", "GET", path, {"Host": host, "port": PORT}])
        status, body = json.loads(node.space.run(sys.executable, "-I", "-c", ASK, text=asked))
        assert (status, json.loads(body)["code"]) in ((403, "wrong-host"), (404, "not-found"))
    assert json.loads(node.ask(WORKER, path, Host=f"127.0.0.1:{PORT}")[1])["code"] == "wrong-host"


def test_rules_that_are_missing_or_of_another_configuration_are_a_problem(node: Node) -> None:
    node.start()
    node.until_problems("interception-missing")
    assert node.machine.status()["state"] == "degraded"
    node.load()
    node.until_problems()
    node.configure(users=[str(WORKER), str(OTHER)])
    node.machine.reload()
    node.until_problems("interception-missing")
    node.load()
    node.until_problems()
    node.unload()
    node.until_problems("interception-missing")


def test_google_clients_get_the_token_of_the_slot_or_are_told_that_this_is_not_google(
    space: Space, machine: Machine
) -> None:
    Cloud(space, machine.folder, "google-metadata")
    node = Node(space, machine)
    machine.configure(google={"handover": "metadata"})
    node.load()
    node.start()
    assert machine.status()["slots"]["google"]["origin"] == "google-metadata"
    assert node.client(GOOGLE, WORKER).startswith("ya29.")
    machine.stop()
    machine.configure(google={"handover": "off"})
    machine.start()
    assert node.client(GOOGLE, WORKER) == "DefaultCredentialsError"
