"""The same tests once or several times."""
