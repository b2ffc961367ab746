"""The agent in a sandbox whose kernel offers no NETLINK_SOCK_DIAG (gVisor, strict seccomp profiles)."""

import sys
import urllib.error
import urllib.request

import pytest

from credagent.credentials import Statement
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter
from tests.patience import scaled

__all__ = ["machine"]

# Runs a program under a seccomp filter (seccomp(2)) by which socket(AF_NETLINK, …) is EPROTONOSUPPORT, as in gVisor.
SANDBOX = """
import ctypes, errno, os, platform, struct, sys
LD, JEQ, RET = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPROTONOSUPPORT
SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
steps = [(LD, 0, 0, 0), (JEQ, 0, 3, SOCKET), (LD, 0, 0, 16), (JEQ, 0, 1, 16), (RET, 0, 0, REFUSE), (RET, 0, 0, ALLOW)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.byref(Filter(len(steps), ctypes.addressof(program))), 0, 0) == 0  # PR_SET_SECCOMP
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def sandboxed(machine: Machine) -> Machine:
    machine.program = [sys.executable, "-c", SANDBOX, *machine.program]
    return machine


def test_the_socket_serves_workers_the_endpoint_says_why_it_does_not_and_status_too(sandboxed: Machine) -> None:
    sandboxed.configure(aws={"handover": "endpoint"})
    sandboxed.put(sandboxed.sealed(letter(aws=Statement.GRANTED)))
    sandboxed.start()
    environment = sandboxed.ask("set")["environment"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"], timeout=scaled(10))  # noqa: S310  the agent said so
    assert (refused.value.code, b"callers-unknown" in refused.value.read()) == (403, True)
    status = sandboxed.status()
    assert (status["state"], status["problems"]) == ("degraded", ["callers-unknown"])
    assert sandboxed.stop() == 0
