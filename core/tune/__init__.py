"""The search for the settings that serve a pair best, and where its result is kept."""
