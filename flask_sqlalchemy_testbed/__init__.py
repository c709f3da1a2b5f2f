"""Tests of database code on real databases: servers, clean databases and leak checks, as a pytest plugin."""
