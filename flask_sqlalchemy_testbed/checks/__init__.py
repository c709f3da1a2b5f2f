"""The checks as data: their ids, claims and remedies, and the catalogue of known failures."""
