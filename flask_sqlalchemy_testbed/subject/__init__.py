"""The app under test: where it is, how it is made, and where its session is."""
