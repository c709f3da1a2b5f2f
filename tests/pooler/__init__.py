"""Tests of a run with a pooler between the app and its server, by --testbed-pooler."""
