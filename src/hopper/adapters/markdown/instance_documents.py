"""Instances in files: those below, each in one, and the directory's own in its config.yaml."""

from datetime import datetime
from typing import Any

from hopper.adapters.markdown.emit import Flow
from hopper.adapters.markdown.fields import Fields, given
from hopper.adapters.markdown.frontmatter import Document
from hopper.domain.instance import Instance, InstanceStatus, InstanceType, Scope

OWN = "local"
"""The id of a directory's own instance, unless its configuration gives another."""

_SCOPE = {
    **{scope.value.casefold(): scope for scope in Scope},
    **dict.fromkeys(("personal", "family"), Scope.PROJECT),
    "event": Scope.ORCHESTRATION,
    "federated": Scope.GLOBAL,
}
_TYPE = {kind.value: kind for kind in InstanceType}
_STATUS = {status.value: status for status in InstanceStatus}


def read_instance(document: Document, path: str, written: datetime) -> Instance:
    """The instance of a file. Raises Wrong."""
    config = document.typed().get("config") if "config" in document.front else None
    return _instance(Fields(document.front), Fields(document.front).id(), InstanceType.EMBEDDED, written, config)


def instance_fields(instance: Instance) -> dict[str, Any]:
    return given(
        id=instance.id,
        name=instance.name,
        scope=instance.scope.value,
        instance_type=instance.instance_type.value,
        status=instance.status.value,
        parent_id=instance.parent_id,
        config=Flow(instance.config) if instance.config else None,
        version=instance.version if instance.version > 1 else None,
        created_at=instance.created_at.isoformat(),
    )


def read_own(document: Document, path: str, written: datetime) -> Instance:
    """The directory's own instance. Nothing else of its configuration is looked at: it may hold keys. Raises Wrong."""
    front = Fields(document.front).mapping("instance")
    config = document.typed()["instance"].get("config") if "config" in front else None
    fields = Fields(front)
    return _instance(fields, fields.text("id") or OWN, InstanceType.LOCAL, written, config)


def own_fields(instance: Instance) -> dict[str, Any]:
    return {"instance": instance_fields(instance)}


def _instance(fields: Fields, id: str, usual: InstanceType, written: datetime, config: Any) -> Instance:
    return Instance(
        id=id,
        name=fields.text("name") or id,
        scope=fields.one_of("scope", _SCOPE) or Scope.PROJECT,
        instance_type=fields.one_of("instance_type", _TYPE) or usual,
        status=fields.one_of("status", _STATUS) or InstanceStatus.RUNNING,
        parent_id=fields.text("parent_id"),
        config=config if isinstance(config, dict) else {},
        version=fields.count("version") or 1,
        created_at=fields.moment("created_at") or written,
    )
