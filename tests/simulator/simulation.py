"""The loopback cloud put together: state, faces, listeners, and what a child process needs to know of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from .admin import Admin
from .cloud import Cloud
from .controls import Controls
from .gcs import Gcs
from .google_iam import GoogleIam
from .oauth import OAuth
from .s3 import S3
from .server import Acceptor, Listener
from .sts import Sts
from .web import Face

Address = tuple[str, int]


class Simulator(Controls):
    """`with Simulator() as sim:` serves every face on a loopback port of its own.

    It starts with a role `dask-node` that the EC2 instance has, a service account `dask-data` that the Google VM has,
    and no users, buckets or keys.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        bind: str = "127.0.0.1",
        listen: Mapping[str, Address] | None = None,
        check_request_time: bool | None = None,
        beside: Simulator | None = None,
    ) -> None:
        """`listen` names the address of single faces; the others get a free port of `bind`.

        `beside` another simulator this is one more machine of the same cloud: its metadata are its own.
        """
        cloud = beside.cloud if beside is not None else Cloud(clock, check_request_time=check_request_time)
        super().__init__(cloud)
        self._is_whole_cloud = beside is None
        if beside is None:
            cloud.account.add_role("dask-node")
            self.create_service_account("dask-data")
        faces = self._all_faces()
        unknown = set(listen or ()) - {face.service for face in faces}
        if unknown:
            raise ValueError(f"no such face: {', '.join(sorted(unknown))}")
        self._addresses = {face.service: (listen or {}).get(face.service, (bind, 0)) for face in faces}
        self._faces = faces
        self._listeners: dict[str, Listener] = {}
        self._acceptor: Acceptor | None = None

    def _all_faces(self) -> tuple[Face, ...]:
        aws: tuple[Face, ...] = (Sts(self.cloud), self._imds, self._container, S3(self.cloud))
        google: tuple[Face, ...] = (
            self._google_metadata,
            OAuth(self.cloud),
            GoogleIam(self.cloud),
            self._kms,
            Gcs(self.cloud),
        )
        return (Admin(self), *aws, *google)

    def start(self) -> Self:
        for face in self._faces:
            self._listeners[face.service] = Listener(self.cloud, face, self._addresses[face.service])
        self._acceptor = Acceptor(list(self._listeners.values()))
        return self

    def stop(self) -> None:
        """Closes every connection, those that hang included."""
        if self._is_whole_cloud:
            self.cloud.faults.clear()
            self.cloud.stopping.set()
        self._google_metadata.wake()
        if self._acceptor is not None:
            self._acceptor.stop()
            self._acceptor = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def addresses(self) -> dict[str, str]:
        """The URL of every face, by its name."""
        return {name: listener.url for name, listener in self._listeners.items()}

    def environ(self, *, aws_machine: bool = True, google_machine: bool = True) -> dict[str, str]:
        """The variables that point a child process's AWS and Google SDKs here.

        A machine is of one cloud: without the other's flag that cloud's metadata are switched off for the child.
        """
        return environ(self.addresses(), self.cloud.account.region, aws=aws_machine, google=google_machine)


def environ(addresses: Mapping[str, str], region: str, *, aws: bool = True, google: bool = True) -> dict[str, str]:
    """As `Simulator.environ`, for whoever has the addresses only."""
    host = addresses["google-metadata"].removeprefix("http://")
    on_google = {
        "GCE_METADATA_HOST": host,
        "GCE_METADATA_IP": host,
        "GCE_METADATA_ROOT": host,
        "GCE_METADATA_MTLS_MODE": "none",
    }
    return {
        "AWS_ENDPOINT_URL_STS": addresses["sts"],
        "AWS_ENDPOINT_URL_S3": addresses["s3"],
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": addresses["imds"],
        "AWS_EC2_METADATA_DISABLED": str(not aws).lower(),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "CLOUDSDK_AUTH_TOKEN_HOST": addresses["oauth"] + "/token",
        "GOOGLE_OAUTH2_CERTS_URL": addresses["oauth"] + "/oauth2/v1/certs",
        "NO_GCE_CHECK": str(not google).lower(),
        **(on_google if google else {}),
    }
