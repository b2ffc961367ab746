"""How a Python program reads from Google Cloud Storage with each library."""

from typing import Any

from tests.matrix.rows import OBJECT, Rows, bucket, gcs, with_arrow, with_obstore


def _google_auth() -> Any:
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return AuthorizedSession(credentials)


def _google_auth_read(session: Any) -> bytes:
    answer = session.get(f"{gcs()}/storage/v1/b/{bucket('google-auth')}/o/{OBJECT}?alt=media")
    answer.raise_for_status()
    return bytes(answer.content)


def _google_cloud_storage() -> Any:
    from google.cloud import storage

    return storage.Client(client_options={"api_endpoint": gcs()})


def _google_cloud_storage_read(client: Any) -> bytes:
    return bytes(client.bucket(bucket("google-cloud-storage")).blob(OBJECT).download_as_bytes())


def _gcsfs() -> Any:
    import gcsfs

    return gcsfs.GCSFileSystem(endpoint_url=gcs())


def _gcsfs_read(files: Any) -> Any:
    return files.cat_file(f"{bucket('gcsfs')}/{OBJECT}")


def _pyarrow_gcs() -> Any:
    from pyarrow import fs

    return fs.GcsFileSystem(endpoint_override=gcs().removeprefix("http://"), scheme="http")


def _obstore_gcs() -> Any:
    from obstore.store import GCSStore

    name = bucket("obstore GCS")
    return GCSStore(name, config={"base_url": gcs()}, client_options={"allow_http": True})


GOOGLE_ROWS: Rows = {
    "google-auth": (_google_auth, _google_auth_read),
    "google-cloud-storage": (_google_cloud_storage, _google_cloud_storage_read),
    "gcsfs": (_gcsfs, _gcsfs_read),
    "pyarrow GCS": (_pyarrow_gcs, with_arrow("pyarrow GCS")),
    "obstore GCS": (_obstore_gcs, with_obstore("obstore GCS")),
}
