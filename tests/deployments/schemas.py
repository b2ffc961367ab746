"""What the API server would say of a resource: the operator's CRDs, and Kubernetes' own types as its client has them.

A field that a CRD does not know is pruned in silence; a field that a core type does not know is refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dask_kubernetes
import kubernetes.client
import yaml  # type: ignore[import-untyped]  # ships no types

CRDS = Path(dask_kubernetes.__file__).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"


def crd(kind: str) -> dict[str, Any]:
    """Return the published schema of one of the operator's resources."""
    document = yaml.safe_load((CRDS / f"{kind.lower()}.yaml").read_text())
    (version,) = document["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def pruned(value: object, schema: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Yield what the API server would drop of `value`."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    match value:
        case dict() if "properties" in schema:
            for name, inner in value.items():
                if at == "" and name in ("apiVersion", "kind", "metadata"):
                    continue  # every resource has them
                if name not in schema["properties"]:
                    yield f"{at}.{name}"
                else:
                    yield from pruned(inner, schema["properties"][name], f"{at}.{name}")
        case list():
            for number, inner in enumerate(value):
                yield from pruned(inner, schema.get("items", {}), f"{at}[{number}]")


def unknown(value: object, kind: str, at: str = "") -> Iterator[str]:
    """Yield what Kubernetes' own type `kind` (V1Pod, list[V1Container], …) does not know in `value`."""
    inner = kind.removeprefix("list[").removesuffix("]")
    if kind.startswith("list["):
        assert isinstance(value, list), at
        for number, one in enumerate(value):
            yield from unknown(one, inner, f"{at}[{number}]")
        return
    model = getattr(kubernetes.client, kind, None)
    if model is None:
        return  # a text, a number, or a map of what the user likes
    assert isinstance(value, dict), at
    names = {wire: name for name, wire in model.attribute_map.items()}
    for wire, one in value.items():
        if wire not in names:
            yield f"{at}.{wire}"
        else:
            yield from unknown(one, model.openapi_types[names[wire]], f"{at}.{wire}")
