"""Detection of connections, sessions and transactions that a test left open."""
