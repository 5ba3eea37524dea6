"""Where model files come from and where they are kept: profiles, the hub, the cache."""
