"""What is documented, cell by cell, in the order of `columns.COLUMNS`. `A or B`: a race decides; either is right."""

from tests.matrix.columns import AFTER_REFUSAL, HANGS, NO, YES
from tests.matrix.results import SLIDES

ALL = (YES,) * 6
KEEPS = (YES, YES, YES, YES, YES, f"{NO} or {HANGS}")
CACHED = (YES, YES, YES, YES, YES, YES)  # a new object is the old one, or shares its credentials
ASKS_ALWAYS = (YES, YES, YES, YES, NO, f"{NO} or {HANGS}")
FREEZES = (YES, NO, YES, YES, YES, YES)
KEEPS_FOR_GOOD = (YES, NO, NO, YES, NO, NO)  # in a process, what was found there first
# A new process each time, with what the worker had when it started: a slow start may outlive that.
STARTED_ANEW = (YES, f"{YES} or {NO}", YES, YES, YES, YES)
KNOWS_NO_ENDPOINT = (NO,) * 6
OBEYS_NO_VARIABLE = (SLIDES,) * 6

HELD_BY_INTERCEPTION_ALONE = frozenset({"s3cmd"})
"""What asks instance metadata wherever it has no keys: there is no variable that it would obey."""

_DISABLED, _OBJECT_STORE = "AWS_EC2_METADATA_DISABLED", "AWS_METADATA_ENDPOINT"
_GDAL = "CPL_AWS_EC2_API_ROOT_URL"
HELD_BY_VARIABLE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("boto3 own", "boto3 default", "aiobotocore", "s3fs", "awscli"), (_DISABLED,)),
    **dict.fromkeys(("pyarrow S3", "dask.dataframe", "h5py ros3", "duckdb", "lance", "daft", "opendal"), (_DISABLED,)),
    **dict.fromkeys(("SDK for JavaScript", "SDK for Java"), (_DISABLED,)),
    **dict.fromkeys(("polars", "deltalake", "obstore S3"), (_OBJECT_STORE,)),
    "GDAL 3.6": (_GDAL,),
    "rasterio": (_DISABLED, _GDAL),  # it asks boto3 first, and GDAL asks by itself after that
    "restic": ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
}
"""Which of the variables of a closed slot are enough by themselves to keep a client from instance metadata."""

EXPECTED: dict[str, dict[str, tuple[str, ...]]] = {
    "endpoint": {
        "boto3 own": KEEPS,
        "boto3 default": CACHED,
        "aiobotocore": KEEPS,
        "s3fs": CACHED,
        "pyarrow S3": KEEPS,
        "dask.dataframe": ASKS_ALWAYS,
        "polars": CACHED,
        "deltalake": KEEPS,
        "obstore S3": KEEPS,
        "duckdb": (YES, AFTER_REFUSAL, YES, YES, YES, f"{NO} or {HANGS}"),
        "rasterio": ASKS_ALWAYS,
        "awscli": ASKS_ALWAYS,
        "opendal": KEEPS,
        "lance": KEEPS,
        "daft": CACHED,
        "h5py ros3": ASKS_ALWAYS,
        "GDAL 3.6": KNOWS_NO_ENDPOINT,
        "s3cmd": OBEYS_NO_VARIABLE,
        "restic": ASKS_ALWAYS,
        "SDK for JavaScript": KEEPS,
        "SDK for Java": KEEPS,
        "google-auth": KEEPS,
        "google-cloud-storage": KEEPS,
        "gcsfs": CACHED,
        "pyarrow GCS": KEEPS,
        "obstore GCS": KEEPS,
    },
    "environment": {
        "boto3 own": ALL,
        "boto3 default": ALL,
        "aiobotocore": ALL,
        "s3fs": ALL,
        "pyarrow S3": ALL,
        "dask.dataframe": ALL,
        "polars": (YES, AFTER_REFUSAL, YES, YES, YES, YES),
        "deltalake": FREEZES,
        "obstore S3": FREEZES,
        "duckdb": (YES, AFTER_REFUSAL, YES, YES, YES, YES),
        "rasterio": ALL,
        "awscli": STARTED_ANEW,
        "opendal": FREEZES,
        "lance": FREEZES,
        "daft": KEEPS_FOR_GOOD,
        "h5py ros3": ALL,
        "GDAL 3.6": STARTED_ANEW,
        "s3cmd": STARTED_ANEW,
        "restic": STARTED_ANEW,
        "SDK for JavaScript": FREEZES,
        "SDK for Java": (YES, NO, f"{YES} or {NO}", YES, YES, YES),  # starts slowly
    },
}

# What has no keys, and knows no container credentials, is served at the metadata address.
EXPECTED["endpoint, intercepted"] = EXPECTED["endpoint"] | {"GDAL 3.6": ASKS_ALWAYS, "s3cmd": ASKS_ALWAYS}
EXPECTED["environment, intercepted"] = EXPECTED["environment"]
