"""The outside world, one folder a technology. Adapters don't know each other, the use cases or the router."""
