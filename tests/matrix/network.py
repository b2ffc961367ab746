"""A network namespace of our own, in which 169.254.169.254 is the simulator's, and so is metadata.google.internal.

A client that slides to the machine's identity is caught doing so, and no packet leaves the machine whatever it does.
"""

import ctypes
import fcntl
import os
import socket
import struct
import tempfile

METADATA_ADDRESS = "169.254.169.254"
HOSTS = f"127.0.0.1 localhost\n{METADATA_ADDRESS} metadata.google.internal metadata\n"

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x891C, 0x8913, 0x8914
_UP = 1


def enter() -> None:
    """Leave the machine's network; raises OSError where the kernel does not let this user. Before any thread starts."""
    uid, gid = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNET | _CLONE_NEWNS | (0 if uid == 0 else _CLONE_NEWUSER)
    _call("unshare", flags)
    if uid != 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _up("lo")
    _address("lo:1", METADATA_ADDRESS)
    _name()


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _name() -> None:
    """Give the address its name, in a view of the file system that only this process and its children have."""
    _call("mount", None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
    with tempfile.NamedTemporaryFile("w", prefix="ca-hosts-") as hosts:
        hosts.write(HOSTS)
        hosts.flush()
        os.chmod(hosts.name, 0o644)
        _call("mount", hosts.name.encode(), b"/etc/hosts", None, ctypes.c_ulong(_MS_BIND), None)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", name.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | _UP))


def _address(name: str, address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            where = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(any_socket, request, where)
