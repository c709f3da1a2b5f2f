"""Show a pair of PostgreSQL servers, let a visitor change their roles, and make transfers meanwhile."""
