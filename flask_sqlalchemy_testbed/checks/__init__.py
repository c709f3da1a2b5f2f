"""The checks as data: their ids, claims and remedies, and the failures that users reported."""
