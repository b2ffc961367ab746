"""What `credagent forward` refuses before it connects."""

import pytest

from credagent.cli.main import main
from credagent.errors import Exit


def test_tls_without_the_clusters_ca_is_refused_since_any_authoritys_certificate_would_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's certificates name no hosts, so none is compared: with the system's authorities anybody has a good one."""
    monkeypatch.delenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", raising=False)
    assert main(["forward", "--scheduler", "tls://127.0.0.1:1", "--aws", "none"]) == Exit.USAGE
    assert "--tls-ca-file" in capsys.readouterr().err
