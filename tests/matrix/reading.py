"""How a user reads with each library: ordinary code that names no credentials. Runs in Dask workers.

`MAKE[row]()` makes the object that a program keeps; `READ[row](object)` reads with it. Each row reads an object of its
own, so that the cloud's log says which credential which library used.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BUCKET = "matrix"
S3_VARIABLE, GCS_VARIABLE = "AWS_ENDPOINT_URL_S3", "MATRIX_GCS"

Make = Callable[[], Any]
Read = Callable[[Any], Any]


def key(row: str, name: str = "data.parquet") -> str:
    """Return the key of a row's own object."""
    return f"{row.replace(' ', '-')}/{name}"


def _s3() -> str:
    return os.environ[S3_VARIABLE]


def _gcs() -> str:
    return os.environ[GCS_VARIABLE]


def _boto3_own() -> Any:
    import boto3

    return boto3.Session().client("s3")


def _boto3_default() -> Any:
    import boto3

    return boto3.client("s3")


def _boto3_read(row: str) -> Read:
    return lambda client: client.get_object(Bucket=BUCKET, Key=key(row))["Body"].read()


def _aiobotocore_session() -> Any:
    from aiobotocore.session import get_session

    return get_session()


def _aiobotocore_read(session: Any) -> bytes:
    async def read() -> bytes:
        async with session.create_client("s3") as client:
            answer = await client.get_object(Bucket=BUCKET, Key=key("aiobotocore"))
            data: bytes = await answer["Body"].read()
            return data

    return asyncio.run(read())


def _s3fs() -> Any:
    import s3fs

    return s3fs.S3FileSystem()  # cached: a second one is the first


def _s3fs_read(files: Any) -> Any:
    return files.cat_file(f"{BUCKET}/{key('s3fs')}")


def _pyarrow_s3() -> Any:
    from pyarrow import fs

    return fs.S3FileSystem(endpoint_override=_s3().removeprefix("http://"), scheme="http")


def _arrow_read(row: str) -> Read:
    return lambda files: files.open_input_file(f"{BUCKET}/{key(row)}").read()


def _nothing() -> None:
    """Such a library keeps no object between two reads."""


def _dask_dataframe_read(_: None) -> int:
    import dask.dataframe as dd

    frame = dd.read_parquet(f"s3://{BUCKET}/{key('dask.dataframe')}", filesystem="arrow")
    return len(frame.compute(scheduler="sync"))


def _polars() -> Any:
    import polars as pl

    options = {"aws_endpoint_url": _s3(), "aws_allow_http": "true"}
    return pl.scan_parquet(f"s3://{BUCKET}/{key('polars')}", storage_options=options)


def _polars_read(frame: Any) -> int:
    return int(frame.collect().height)


def _deltalake() -> Any:
    import deltalake

    options = {"AWS_ENDPOINT_URL": _s3(), "AWS_ALLOW_HTTP": "true"}
    return deltalake.DeltaTable(f"s3://{BUCKET}/{key('deltalake', 'table')}", storage_options=options)


def _deltalake_read(table: Any) -> int:
    return int(table.to_pyarrow_table().num_rows)


def _obstore_s3() -> Any:
    from obstore.store import S3Store

    return S3Store(BUCKET, endpoint=_s3(), client_options={"allow_http": True})


def _obstore_read(row: str) -> Read:
    return lambda store: store.get(key(row)).bytes()


def _duckdb() -> Any:
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("httpfs", "aws"):
        connection.load_extension(str(_extension(name)))
    connection.execute(
        f"CREATE SECRET (TYPE s3, PROVIDER credential_chain, REFRESH auto, ENDPOINT '{_s3().removeprefix('http://')}',"
        " USE_SSL false, URL_STYLE 'path')"
    )
    return connection


def _extension(name: str) -> Path:
    """Find an extension that a package brought: DuckDB's own way would download it."""
    import duckdb_ext

    return next(Path(duckdb_ext.__path__[0]).rglob(f"{name}.duckdb_extension"))


def _duckdb_read(connection: Any) -> Any:
    return connection.execute(f"SELECT count(*) FROM 's3://{BUCKET}/{key('duckdb')}'").fetchone()  # noqa: S608  our names


def _rasterio_read(_: None) -> Any:
    import rasterio

    settings = {
        "AWS_S3_ENDPOINT": _s3().removeprefix("http://"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "VSI_CACHE": "FALSE",
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",
    }
    with rasterio.Env(**settings), rasterio.open(f"s3://{BUCKET}/{key('rasterio', 'data.tif')}") as raster:
        return raster.read(1).sum()


def _awscli_read(_: None) -> bytes:
    command = [sys.executable, "-m", "awscli", "s3", "cp", f"s3://{BUCKET}/{key('awscli')}", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def _google_auth() -> Any:
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return AuthorizedSession(credentials)


def _google_auth_read(session: Any) -> bytes:
    answer = session.get(f"{_gcs()}/storage/v1/b/{BUCKET}/o/{key('google-auth').replace('/', '%2F')}?alt=media")
    answer.raise_for_status()
    return bytes(answer.content)


def _google_cloud_storage() -> Any:
    from google.cloud import storage

    return storage.Client(client_options={"api_endpoint": _gcs()})


def _google_cloud_storage_read(client: Any) -> bytes:
    return bytes(client.bucket(BUCKET).blob(key("google-cloud-storage")).download_as_bytes())


def _gcsfs() -> Any:
    import gcsfs

    return gcsfs.GCSFileSystem(endpoint_url=_gcs())


def _gcsfs_read(files: Any) -> Any:
    return files.cat_file(f"{BUCKET}/{key('gcsfs')}")


def _pyarrow_gcs() -> Any:
    from pyarrow import fs

    return fs.GcsFileSystem(endpoint_override=_gcs().removeprefix("http://"), scheme="http")


def _obstore_gcs() -> Any:
    from obstore.store import GCSStore

    return GCSStore(BUCKET, config={"base_url": _gcs()}, client_options={"allow_http": True})


AWS_ROWS: dict[str, tuple[Make, Read]] = {
    "boto3 own": (_boto3_own, _boto3_read("boto3 own")),
    "boto3 default": (_boto3_default, _boto3_read("boto3 default")),
    "aiobotocore": (_aiobotocore_session, _aiobotocore_read),
    "s3fs": (_s3fs, _s3fs_read),
    "pyarrow S3": (_pyarrow_s3, _arrow_read("pyarrow S3")),
    "dask.dataframe": (_nothing, _dask_dataframe_read),
    "polars": (_polars, _polars_read),
    "deltalake": (_deltalake, _deltalake_read),
    "obstore S3": (_obstore_s3, _obstore_read("obstore S3")),
    "duckdb": (_duckdb, _duckdb_read),
    "rasterio": (_nothing, _rasterio_read),
    "awscli": (_nothing, _awscli_read),
}
GOOGLE_ROWS: dict[str, tuple[Make, Read]] = {
    "google-auth": (_google_auth, _google_auth_read),
    "google-cloud-storage": (_google_cloud_storage, _google_cloud_storage_read),
    "gcsfs": (_gcsfs, _gcsfs_read),
    "pyarrow GCS": (_pyarrow_gcs, _arrow_read("pyarrow GCS")),
    "obstore GCS": (_obstore_gcs, _obstore_read("obstore GCS")),
}
ROWS = AWS_ROWS | GOOGLE_ROWS
