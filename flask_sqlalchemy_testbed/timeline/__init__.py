"""Events of contexts, sessions and connections, and their pictures."""
