"""Which machine this is, as systemd has it (machine-id(5)): the same after every boot, another on every machine."""

from collections.abc import Sequence

from credagent.system.file_reading import read_bounded

MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_LIMIT_BYTES = 4096
_NONE_YET = (b"", b"uninitialized")  # the latter is there until a first boot is over: machine-id(5)


def machine_fingerprint(paths: Sequence[str] = MACHINE_ID_FILES) -> str:
    """Return 64 hexadecimal digits that stand for this machine, "" where it has no machine-id (some containers).

    A hash, since machine-id(5) asks not to spread the id itself.
    """
    import hashlib  # noqa: PLC0415  a client of the machine's own agent has no use for it

    for path in paths:
        machine_id = read_bounded(path, _LIMIT_BYTES)
        if machine_id is not None and machine_id.strip() not in _NONE_YET:
            return hashlib.sha256(b"credagent machine " + machine_id.strip()).hexdigest()
    return ""
