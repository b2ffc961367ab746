"""What lies in the cloud for each row to read: the smallest object that its client takes for data."""

import io
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.matrix.aws_libraries import DELTA, HDF5, LANCE, RASTER
from tests.matrix.programs import PASSWORD, REPOSITORY, TABLE, missing
from tests.matrix.reading import AWS_ROWS, ROWS
from tests.matrix.rows import OBJECT, bucket
from tests.simulator.remote import Remote


def fill(cloud: Remote) -> None:
    """Make each row's bucket and what is in it."""
    parquet = _parquet()
    for row in filter(lambda row: not missing(row), ROWS):
        store = "s3" if row in AWS_ROWS else "gcs"
        cloud.create_bucket(bucket(row), store=store)
        cloud.put_object(bucket(row), OBJECT, parquet, store=store)
        for name, data in _OTHERS[row]() if row in _OTHERS else ():
            cloud.put_object(bucket(row), name, data)


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(100))}), buffer)
    return buffer.getvalue()


def _raster() -> Iterator[tuple[str, bytes]]:
    import numpy as np
    import rasterio

    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", width=8, height=8, count=1, dtype="uint8", crs="EPSG:4326") as raster:
            raster.write(np.ones((1, 8, 8), dtype="uint8"))
        yield RASTER, bytes(memory.read())


def _hdf5() -> Iterator[tuple[str, bytes]]:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["a"] = list(range(100))
    yield HDF5, buffer.getvalue()


def _csv() -> Iterator[tuple[str, bytes]]:
    yield TABLE, b"id,name\n1,a\n"


def _delta_table(folder: Path) -> None:
    import deltalake
    import pyarrow as pa

    deltalake.write_deltalake(folder / DELTA, pa.table({"a": [1, 2, 3]}))


def _lance_table(folder: Path) -> None:
    import lance
    import pyarrow as pa

    lance.write_dataset(pa.table({"a": [1, 2, 3]}), folder / LANCE)


def _restic_repository(folder: Path) -> None:
    command = ["restic", "init", "-q", "-r", str(folder / REPOSITORY)]
    subprocess.run(command, env={**os.environ, "RESTIC_PASSWORD": PASSWORD}, check=True)


def _files(write: Callable[[Path], None]) -> Callable[[], Iterator[tuple[str, bytes]]]:
    """Return what yields the files that `write` makes in a folder."""

    def read() -> Iterator[tuple[str, bytes]]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(folder)
            for path in filter(Path.is_file, folder.rglob("*")):
                yield str(path.relative_to(folder)), path.read_bytes()

    return read


_OTHERS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "rasterio": _raster,
    "h5py ros3": _hdf5,
    "GDAL 3.6": _csv,
    "deltalake": _files(_delta_table),
    "lance": _files(_lance_table),
    "restic": _files(_restic_repository),
}
