"""Entities of the domain as answers."""

from dataclasses import fields
from typing import Any


def fields_of(entity: Any) -> dict[str, Any]:
    """A dataclass as a dict, one level deep."""
    return {field.name: getattr(entity, field.name) for field in fields(entity)}
