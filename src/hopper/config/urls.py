"""URLs of databases, fit to be shown."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

MASK = "***"
"""What stands in a secret's place."""

_SHOWN_OPTIONS = {"host", "port", "dbname", "sslmode"}
"""What may stand behind the ? of a database's URL and is no secret."""


def masked(url: str) -> str:
    """A URL that Hopper accepts, with its password and all options masked that may be secrets."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    options = [(option, value if option in _SHOWN_OPTIONS else MASK) for option, value in parse_qsl(parts.query)]
    netloc = name + colon + (MASK if password else "") + at + hosts
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(options, safe="/*")))
