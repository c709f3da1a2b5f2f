"""What the battery found, for people and for programs."""
