"""How a Python program reads from S3 with each library."""

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.matrix.rows import OBJECT, Read, Rows, bucket, nothing, s3, s3_host, with_arrow, with_obstore

LANCE, DELTA, RASTER, HDF5 = "table.lance", "table", "data.tif", "data.h5"


def _boto3_own() -> Any:
    import boto3

    return boto3.Session().client("s3")


def _boto3_default() -> Any:
    import boto3

    return boto3.client("s3")


def _boto3_read(row: str) -> Read:
    return lambda client: client.get_object(Bucket=bucket(row), Key=OBJECT)["Body"].read()


def _aiobotocore_session() -> Any:
    from aiobotocore.session import get_session

    return get_session()


def _aiobotocore_read(session: Any) -> bytes:
    async def read() -> bytes:
        async with session.create_client("s3") as client:
            answer = await client.get_object(Bucket=bucket("aiobotocore"), Key=OBJECT)
            data: bytes = await answer["Body"].read()
            return data

    return asyncio.run(read())


def _s3fs() -> Any:
    import s3fs

    return s3fs.S3FileSystem()  # cached: a second one is the first


def _s3fs_read(files: Any) -> Any:
    return files.cat_file(f"{bucket('s3fs')}/{OBJECT}")


def _pyarrow_s3() -> Any:
    from pyarrow import fs

    return fs.S3FileSystem(endpoint_override=s3_host(), scheme="http")


def _dask_dataframe_read(_: None) -> int:
    import dask.dataframe as dd

    frame = dd.read_parquet(f"s3://{bucket('dask.dataframe')}/{OBJECT}", filesystem="arrow")
    return len(frame.compute(scheduler="sync"))


def _polars() -> Any:
    import polars as pl

    options = {"aws_endpoint_url": s3(), "aws_allow_http": "true"}
    return pl.scan_parquet(f"s3://{bucket('polars')}/{OBJECT}", storage_options=options)


def _polars_read(frame: Any) -> int:
    return int(frame.collect().height)


def _deltalake() -> Any:
    import deltalake

    options = {"AWS_ENDPOINT_URL": s3(), "AWS_ALLOW_HTTP": "true"}
    return deltalake.DeltaTable(f"s3://{bucket('deltalake')}/{DELTA}", storage_options=options)


def _deltalake_read(table: Any) -> int:
    return int(table.to_pyarrow_table().num_rows)


def _obstore_s3() -> Any:
    from obstore.store import S3Store

    return S3Store(bucket("obstore S3"), endpoint=s3(), client_options={"allow_http": True})


def _duckdb() -> Any:
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("httpfs", "aws"):
        connection.load_extension(str(_extension(name)))
    connection.execute(
        f"CREATE SECRET (TYPE s3, PROVIDER credential_chain, REFRESH auto, ENDPOINT '{s3_host()}',"
        " USE_SSL false, URL_STYLE 'path')"
    )
    return connection


def _extension(name: str) -> Path:
    """Find an extension that a package brought: DuckDB's own way would download it."""
    import duckdb_ext

    return next(Path(duckdb_ext.__path__[0]).rglob(f"{name}.duckdb_extension"))


def _duckdb_read(connection: Any) -> Any:
    return connection.execute(f"SELECT count(*) FROM 's3://{bucket('duckdb')}/{OBJECT}'").fetchone()  # noqa: S608  our names


def _rasterio_read(_: None) -> Any:
    import rasterio

    settings = {
        "AWS_S3_ENDPOINT": s3_host(),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "VSI_CACHE": "FALSE",
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",
    }
    with rasterio.Env(**settings), rasterio.open(f"s3://{bucket('rasterio')}/{RASTER}") as raster:
        return raster.read(1).sum()


def _opendal() -> Any:
    import opendal

    return opendal.Operator("s3", bucket=bucket("opendal"), endpoint=s3())


def _opendal_read(operator: Any) -> Any:
    return operator.read(OBJECT)


def _lance() -> Any:
    import lance

    options = {"aws_endpoint": s3(), "allow_http": "true"}
    return lance.dataset(f"s3://{bucket('lance')}/{LANCE}", storage_options=options)


def _lance_read(dataset: Any) -> int:
    return int(dataset.to_table().num_rows)


def _daft_read(_: None) -> int:
    import daft
    from daft.io import IOConfig, S3Config

    config = IOConfig(s3=S3Config(endpoint_url=s3()))
    return len(daft.read_parquet(f"s3://{bucket('daft')}/{OBJECT}", io_config=config).to_pydict()["a"])


def _h5py_read(_: None) -> int:
    import h5py

    region = os.environ["AWS_DEFAULT_REGION"].encode()
    with h5py.File(f"s3://{bucket('h5py ros3')}/{HDF5}", "r", driver="ros3", aws_region=region) as file:
        return int(file["a"][:].sum())


AWS_LIBRARIES: Rows = {
    "boto3 own": (_boto3_own, _boto3_read("boto3 own")),
    "boto3 default": (_boto3_default, _boto3_read("boto3 default")),
    "aiobotocore": (_aiobotocore_session, _aiobotocore_read),
    "s3fs": (_s3fs, _s3fs_read),
    "pyarrow S3": (_pyarrow_s3, with_arrow("pyarrow S3")),
    "dask.dataframe": (nothing, _dask_dataframe_read),
    "polars": (_polars, _polars_read),
    "deltalake": (_deltalake, _deltalake_read),
    "obstore S3": (_obstore_s3, with_obstore("obstore S3")),
    "duckdb": (_duckdb, _duckdb_read),
    "rasterio": (nothing, _rasterio_read),
    "opendal": (_opendal, _opendal_read),
    "lance": (_lance, _lance_read),
    "daft": (nothing, _daft_read),
    "h5py ros3": (nothing, _h5py_read),
}
