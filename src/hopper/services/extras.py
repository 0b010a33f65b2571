"""How packages of Hopper's extras are installed. Not by their bare name: on PyPI that is another project's."""

from hopper import __version__


def how_to_install(*extras: str) -> str:
    """The end of a sentence that begins with what is missing."""
    wanted = f"[{','.join(extras)}]" if extras else ""
    return (
        "in a checkout `make serve` installs them; with the wheel, "
        f"`uv tool install --force 'hopper-{__version__}-py3-none-any.whl{wanted}'`"
    )
