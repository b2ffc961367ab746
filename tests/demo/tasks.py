"""What runs on the workers. `read_object` is a user's own code: it knows nothing of credagent."""

import os
from typing import Any

BUCKET, KEY = "private-data", "hello.txt"


def read_object(bucket: str, key: str) -> bytes:
    """Read private data as on a laptop."""
    import boto3

    body: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def read_blob(address: str) -> bytes:
    """Read a private object of Google Cloud Storage with whatever identity google-auth finds."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
    with AuthorizedSession(credentials) as session:
        answer = session.get(f"{address}/storage/v1/b/{BUCKET}/o/{KEY}", params={"alt": "media"}, timeout=30)
    answer.raise_for_status()
    body: bytes = answer.content
    return body


class Reader:
    """A client that was made once and lives in one worker process: an actor."""

    def __init__(self) -> None:
        """Make the client."""
        import boto3

        self._client = boto3.client("s3")

    def read(self) -> tuple[int, bytes]:
        """Read with the same client, in the same process."""
        return os.getpid(), self._client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()


def pid() -> int:
    """Return the worker's process number."""
    return os.getpid()


def hash_of(name: str) -> str:
    """Return a hash of a variable: a task's result passes the scheduler, which need not see the value."""
    import hashlib

    return hashlib.sha256(os.environ.get(name, "").encode()).hexdigest()


def generation_of(name: str, dask_worker: Any = None) -> str:
    """Return a variable that is no secret."""
    return os.environ.get(name, "")
