"""The servers of a run: given ones, throwaway containers, directories, and those of another process."""
