"""Which cloud's machine this is, by what its firmware says: no packet, no wait. Read in the helper."""

from typing import Literal

Maker = Literal["amazon", "google", ""]

SYS_VENDOR = "/sys/class/dmi/id/sys_vendor"
XEN_UUID = "/sys/hypervisor/uuid"
MAX_BYTES = 256


def maker(sys_vendor: str = SYS_VENDOR, xen_uuid: str = XEN_UUID) -> Maker:
    """Return whose machine this is; empty where the firmware names neither, or may not be read (some containers)."""
    vendor = _read(sys_vendor)
    if vendor.startswith("Amazon") or _read(xen_uuid).startswith("ec2"):
        return "amazon"
    return "google" if vendor.startswith("Google") else ""


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""
