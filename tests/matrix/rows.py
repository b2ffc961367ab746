"""What one row of the matrix is: how a user reads with one client, in ordinary code that names no credentials.

Each row reads from a bucket of its own, so that the cloud's log says which credential which client used.
"""

import os
from collections.abc import Callable
from typing import Any

S3_VARIABLE, GCS_VARIABLE = "AWS_ENDPOINT_URL_S3", "MATRIX_GCS"
OBJECT = "data.parquet"

Make = Callable[[], Any]
Read = Callable[[Any], Any]
Rows = dict[str, tuple[Make, Read]]
"""By the row's name: what makes the object that a program keeps, and what reads with it."""


def bucket(row: str) -> str:
    """Return the name of a row's own bucket."""
    return row.lower().replace(" ", "-")


def s3() -> str:
    """Return the address of S3."""
    return os.environ[S3_VARIABLE]


def s3_host() -> str:
    """Return the same without its scheme."""
    return s3().removeprefix("http://")


def gcs() -> str:
    """Return the address of Google Cloud Storage."""
    return os.environ[GCS_VARIABLE]


def nothing() -> None:
    """Such a client keeps no object between two reads."""


def with_arrow(row: str) -> Read:
    """Return what reads with one of pyarrow's file systems."""
    return lambda files: files.open_input_file(f"{bucket(row)}/{OBJECT}").read()


def with_obstore(row: str) -> Read:
    """Return what reads with one of obstore's stores."""
    return lambda store: store.get(OBJECT).bytes()
