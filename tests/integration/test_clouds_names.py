"""A name server that says nothing: no time-out of an SDK covers it, and the deadline is kept all the same.

In a network and a file tree of the test's own, whose only name server is a socket that nobody reads.
"""

import pytest

from tests.integration.test_clouds_absence import namespaces_work, told

pytestmark = pytest.mark.skipif(not namespaces_work(), reason="needs network namespaces")

SILENCE = """
import socket, tempfile
from credagent.credentials import AwsCredentials
from credagent.secret import Secret
run("ip", "link", "set", "lo", "up")
names = tempfile.NamedTemporaryFile("w")
names.write("nameserver 127.0.0.1\\noptions attempts:5 timeout:10\\n")
names.flush()
run("mount", "--bind", names.name, "/etc/resolv.conf")
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))
HOME["AWS_ENDPOINT_URL_STS"] = "https://sts.example.test"
KEY = AwsCredentials(access_key_id="ASIA", secret_access_key=Secret("s"), session_token=Secret("t"))
USER = GoogleAuthorizedUserToken(
    client_id="c", client_secret=Secret("s"), refresh_token=Secret("r"), token_uri="https://oauth2.googleapis.com/token"
)
"""


def test_the_deadline_is_kept_while_a_name_server_hangs() -> None:
    aws = "AwsAssumeRole(role_arn='arn:aws:iam::1:role/r', session=KEY, region='eu-central-1')"
    script = f"tell({aws}, deadline_s=2)\ntell(USER, deadline_s=2)\n"
    assert told(SILENCE + script, "--mount") == ["timed-out", "timed-out"]


def test_a_machines_role_is_had_without_its_principal_while_a_name_server_hangs() -> None:
    imds = 'HOME["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = Simulator().start().addresses()["imds"]\n'
    assert told(SILENCE + imds + "tell(AwsMachineIdentity())", "--mount") == ["AwsObtained"]
