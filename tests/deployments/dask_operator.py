"""Dask's operator without a Kubernetes: pods as its own code builds them, and a few answers of an API server.

What `KubeCluster` asks is answered over HTTP: one DaskCluster is made, scaled and deleted, its pods and Service are
shown. Watches, other resources and whatever else an API server does are not here.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dask_kubernetes.operator.controller.controller import (
    build_default_worker_group_spec,
    build_scheduler_deployment_spec,
    build_scheduler_service_spec,
    build_worker_deployment_spec,
)

from tests.deployments import schemas
from tests.deployments.pods import Kubelet

NAMESPACE = "default"
_RESOURCE = re.compile(rf"/api(?:s/[^/]+)?/v1/namespaces/{NAMESPACE}/(\w+)(?:/([^/]+))?(?:/scale)?")
RUNNING = {
    "phase": "Running",
    "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")],
}
ABOUT_ITSELF: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [{"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": True}]},
    "/apis": {"groups": []},
}
Resource = dict[str, Any]


class DaskOperator:
    """Makes pods of a DaskCluster, the scheduler's on the first of `machines`; scales and deletes them."""

    def __init__(self, kubelet: Kubelet, machines: Sequence[str]) -> None:
        self._kubelet, self._machines = kubelet, machines
        self._webhook: Mapping[str, str] = {}
        self.resources: dict[tuple[str, str], Resource] = {}  # by plural and name

    def create(self, cluster: Resource, **variables: str) -> None:
        """Do as the operator's controller does for a new DaskCluster; a webhook adds `variables` to containers."""
        assert list(schemas.pruned(cluster, schemas.crd("DaskCluster"))) == []
        name, spec = cluster["metadata"]["name"], cluster["spec"]
        self._webhook = variables
        self._keep("daskclusters", {**cluster, "status": {"phase": "Running"}})
        self._run(build_scheduler_deployment_spec(name, spec["scheduler"]["spec"], {}, {}))
        self._keep("services", build_scheduler_service_spec(name, spec["scheduler"]["service"], {}, {}))
        self._keep("daskworkergroups", build_default_worker_group_spec(name, spec["worker"], {}, {}))
        self.scale(f"{name}-default", spec["worker"]["replicas"])

    def scale(self, group: str, replicas: int) -> None:
        """Add workers to a group until it has as many."""
        spec = self.resources["daskworkergroups", group]["spec"]
        spec["worker"]["replicas"] = replicas
        for number in range(len(self._pods()) - 1, replicas):
            pod = spec["worker"]["spec"]
            self._run(build_worker_deployment_spec(group, NAMESPACE, spec["cluster"], f"{number}", pod, {}, {}))

    def delete(self) -> None:
        """End the pods, and forget everything."""
        for machine in self._machines[: len(self._pods())]:
            self._kubelet.end(machine)
        self.resources.clear()

    def selected(self, kind: str, name: str | None, query: Mapping[str, Sequence[str]]) -> list[Resource]:
        """Return the resources of a kind that have this name, and the labels and the name that a query selects."""
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair)
        fields = dict(pair.split("=") for pair in query.get("fieldSelector", [""])[0].split(",") if pair)
        name = name or fields.get("metadata.name")
        return [
            found
            for (plural, of_name), found in self.resources.items()
            if plural == kind
            and name in (None, of_name)
            and wanted.items() <= dict(found["metadata"].get("labels", {})).items()
        ]

    def _pods(self) -> list[Resource]:
        return self.selected("pods", None, {})

    def _run(self, deployment: Resource) -> None:
        machine, template = self._machines[len(self._pods())], deployment["spec"]["template"]
        self._keep("pods", {"apiVersion": "v1", "kind": "Pod", **template, "status": RUNNING})
        self._kubelet.run(machine, template["spec"], **self._webhook)

    def _keep(self, kind: str, resource: Resource) -> None:
        metadata = {**resource["metadata"], "namespace": NAMESPACE}
        self.resources[kind, metadata["name"]] = {**resource, "metadata": metadata}


@contextmanager
def api_server(operator: DaskOperator) -> Iterator[str]:
    """Answer what is asked of the operator's cluster; give the kubeconfig by which it is found."""
    with _ApiServer(operator) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield json.dumps(_kubeconfig(server.server_port))
        finally:
            server.shutdown()


class _ApiServer(ThreadingHTTPServer):
    def __init__(self, operator: DaskOperator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.operator = operator


class _Handler(BaseHTTPRequestHandler):
    @property
    def _operator(self) -> DaskOperator:
        assert isinstance(self.server, _ApiServer)
        return self.server.operator

    @property
    def _resource(self) -> str:
        return urlsplit(self.path).path.rstrip("/")

    def log_message(self, *_: object) -> None:
        pass  # pytest shows what was asked by what became of it

    def do_GET(self) -> None:
        if (said := ABOUT_ITSELF.get(self._resource)) is not None:
            self._answer(said)
        else:
            self._show(self._resource, parse_qs(urlsplit(self.path).query))

    def do_POST(self) -> None:
        cluster = self._body()
        self._operator.create(cluster)
        self._show(f"{self._resource}/{cluster['metadata']['name']}", {})

    def do_PATCH(self) -> None:
        group = _RESOURCE.fullmatch(self._resource)
        assert group is not None
        spec = self._body()["spec"]
        self._operator.scale(group[2], spec.get("replicas") or spec["worker"]["replicas"])
        self._show(self._resource, {})

    def do_DELETE(self) -> None:
        if "/daskclusters/" not in self.path:
            self._missing()  # there is no autoscaler
            return
        self._operator.delete()
        self._answer({"kind": "Status", "status": "Success"})

    def _show(self, path: str, query: Mapping[str, Sequence[str]]) -> None:
        asked = _RESOURCE.fullmatch(path)
        found = self._operator.selected(asked[1], asked[2], query) if asked is not None else []
        if asked is None or (asked[2] and not found):
            self._missing()
        elif asked[2]:
            self._answer(found[0])
        else:
            self._answer({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": found})

    def _missing(self) -> None:
        self._answer({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": self.path}, 404)

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, document: Resource, status: int = 200) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _kubeconfig(port: int) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "ana", "user": {"token": "none-is-asked"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "ana", "namespace": NAMESPACE}}],
    }
