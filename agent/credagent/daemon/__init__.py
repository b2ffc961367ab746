"""The composition root of the agent: its parts, put together, started, kept going, and ended in order."""
