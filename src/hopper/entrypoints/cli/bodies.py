"""What commands make of what they were given, as the API has it."""

from typing import Any


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def named(tag: str) -> str:
    """The tag, if it has a name."""
    if not tag.partition("=")[0].strip():
        import typer

        raise typer.BadParameter(f"{tag!r} has no name: a tag is NAME or NAME=VALUE.", param_hint="--tag")
    return tag


def tags_of(given: list[str] | None) -> dict[str, bool | str]:
    """`backend` and `area=ui` as the API has them: {"backend": true, "area": "ui"}."""
    pairs = [named(tag).partition("=") for tag in given or ()]
    return {name: value if equals else True for name, equals, value in pairs}
