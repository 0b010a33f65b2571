"""One Settings object: defaults < config/server.yaml < environment < flags."""

from hopper.config.problems import BadConfiguration
from hopper.config.reading import load_settings
from hopper.config.settings import PUBLIC_API, Settings, openai_key

__all__ = ["PUBLIC_API", "BadConfiguration", "Settings", "load_settings", "openai_key"]
