"""Find the connections, sessions and transactions that a test leaves open."""
