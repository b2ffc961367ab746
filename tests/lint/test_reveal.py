"""`.reveal()` is called where a secret leaves the program, and nowhere else: each place is here with its reason."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "agent" / "credagent"

ALLOWED: dict[str, str] = {
    "bundle/canonical_json.py": "writes the plaintext that is sealed in the next step",
    "bundle/key_pairs.py": "reads the text of a key file",
    "bundle/validation.py": "looks for what no variable and no HTTP header can carry",
    "admission/machine_key.py": "writes the machine's own key to its private file",
    "cli/commands/keygen.py": "writes a new key to its private file",
    "cloud_helper/attestation/aws_proof.py": "signs a request with a session, in the helper process",
    "cloud_helper/aws/clients.py": "gives a session to botocore, in the helper process",
    "cloud_helper/aws/container_credentials.py": "shows the platform its authorization token, in the helper process",
    "cloud_helper/aws/web_identity.py": "gives a web identity to botocore, in the helper process",
    "cloud_helper/google/impersonation.py": "gives a token to google-auth, in the helper process",
    "cloud_helper/google/refresh_token.py": "gives a refresh token to google-auth, in the helper process",
    "cloud_helper/kms/aws_kms.py": "gives a content key to AWS KMS to wrap, in the helper process",
    "cloud_helper/kms/google_kms.py": "gives a content key to Google KMS to wrap, in the helper process",
    "admission/kms_recipient_key.py": "opens a bundle with the content key that a key service unwrapped",
    "cloud_helper/helper_protocol.py": "writes a request or an answer into the pipe between agent and helper",
    "handover/http/endpoint_token.py": "writes the bearer token to its file again where that was taken away",
    "handover/http/refusals.py": "compares the bearer token that a caller shows",
    "handover/unix/protocol.py": "gives a worker its environment over the Unix socket",
    "slots/credential_store.py": "digests what workers got, by which a later agent knows it again",
    "worker_environment/vendor_documents.py": "writes the documents of the vendors' protocols",
    "worker_environment/env_file.py": "writes worker.env, private, for systemd and containers",
    "worker_environment/formats.py": "writes an environment as text, where somebody asks for it",
    "worker_environment/rendering.py": "renders a credential set into a worker's environment",
    "sender/signing_key.py": "reads and writes the sender's key file",
}


def test_secrets_are_revealed_in_the_listed_modules_only() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if _reveals(path)}
    assert found == set(ALLOWED), "add the module with its reason, or find another way"


def _reveals(path: Path) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Attribute) and called.attr == "reveal" for called in calls)
