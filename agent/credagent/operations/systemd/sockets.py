"""Sockets that the service manager holds across restarts (sd_listen_fds(3)), so that nobody takes their ports."""

import os
import socket
from collections.abc import Mapping

FIRST_FD = 3  # SD_LISTEN_FDS_START
MOST = 16  # a unit of ours lists two; a larger number is somebody's mistake


def passed_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets passed to this very process, in the unit's order; none where nobody passed any."""
    count, pid = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_PID", "")
    if not count.isdecimal() or pid != str(os.getpid()):
        return []
    descriptors = range(FIRST_FD, FIRST_FD + min(int(count), MOST))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003  its only parameter; a helper process must not hold a port
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]
