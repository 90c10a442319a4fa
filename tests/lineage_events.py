"""OpenLineage events as the classes of its own client take them, which know every field."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import attr
from openlineage.client import generated
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent
from openlineage.client.generated.base import EventType


def _classes() -> dict[str, type]:
    modules = [
        importlib.import_module(f"{generated.__name__}.{each.name}")
        for each in pkgutil.iter_modules(generated.__path__)
    ]
    kinds = [kind for module in modules for kind in vars(module).values() if attr.has(kind)]
    return {kind._get_schema(): kind for kind in kinds if hasattr(kind, "_get_schema")}


KINDS = _classes()


def checked(event: Mapping[str, Any]) -> RunEvent:
    """The event as an object; raises where it has unknown fields, lacks any, or a bad value."""
    assert event.keys() == {
        *("eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs")
    }
    run, job = event["run"], event["job"]
    made = RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=EventType(event["eventType"]),
        run=Run(**{**run, "facets": _facets(run["facets"])}),
        job=Job(**{**job, "facets": _facets(job["facets"])}),
        inputs=[_dataset(InputDataset, "inputFacets", each) for each in event["inputs"]],
        outputs=[_dataset(OutputDataset, "outputFacets", each) for each in event["outputs"]],
    )
    assert made.schemaURL == event["schemaURL"]
    return made


def _dataset(kind: type, own: str, given: Mapping[str, Any]) -> Any:
    facets = {name: _facets(given[name]) for name in ("facets", own) if name in given}
    return kind(**{**given, **facets})


def _facets(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, facet in given.items():
        content = {key: value for key, value in facet.items() if not key.startswith("_")}
        assert facet["_producer"].startswith("urn:batch-screen:")
        kind = KINDS[facet["_schemaURL"]]
        assert name.replace("_", "").lower() in kind.__name__.lower()
        found[name] = kind(**content)
    return found
