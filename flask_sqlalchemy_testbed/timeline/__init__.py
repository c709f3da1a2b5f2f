"""Record the events of contexts, sessions and connections, and draw them."""
