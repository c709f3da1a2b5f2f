"""One test, on testcontainers' own containers."""
