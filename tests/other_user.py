"""Runs a script as a user who owns nothing else. Needs root."""

import os
import subprocess
import sys

import pytest

from tests.patience import scaled

SOMEBODY = 65_533

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")


def run_as_somebody(imports: str, script: str) -> "subprocess.CompletedProcess[str]":
    """Run `script` as `SOMEBODY`. `imports` come before the change of user: the checkout may be root's alone."""
    change = f"import os\n{imports}\nos.setgroups([])\nos.setegid({SOMEBODY})\nos.seteuid({SOMEBODY})\n"
    return subprocess.run(
        [sys.executable, "-c", change + script], capture_output=True, text=True, timeout=scaled(30), check=False
    )
