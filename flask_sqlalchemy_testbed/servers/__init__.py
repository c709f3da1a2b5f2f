"""Database servers: given by the environment, or started in throwaway containers."""
