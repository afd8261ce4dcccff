"""A store in another process, shared by all replicas: its parts. ``guard/stores/redis.py`` puts them together."""
