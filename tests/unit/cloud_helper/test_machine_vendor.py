from pathlib import Path

import pytest

from credagent.cloud_helper.machine_vendor import maker


@pytest.mark.parametrize(
    ("vendor", "xen", "made_by"),
    [
        ("Amazon EC2\n", None, "amazon"),
        ("Xen\n", "ec2e1916-9099-7caf-fd21-012345abcdef\n", "amazon"),
        ("Google\n", None, "google"),
        ("Microsoft Corporation\n", None, ""),
        (None, None, ""),
    ],
)
def test_the_firmware_says_whose_machine_this_is(
    tmp_path: Path, vendor: str | None, xen: str | None, made_by: str
) -> None:
    for name, text in (("vendor", vendor), ("xen", xen)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert maker(str(tmp_path / "vendor"), str(tmp_path / "xen")) == made_by
