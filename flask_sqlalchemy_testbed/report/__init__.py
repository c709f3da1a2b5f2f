"""Report what the battery found: as a page, as Markdown, in the terminal, and as JSON."""
