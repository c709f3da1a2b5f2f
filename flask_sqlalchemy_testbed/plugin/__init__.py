"""The pytest plugin: all hooks, options and fixtures."""
