"""The servers of a run: given, in a container, a directory, or of another process."""
