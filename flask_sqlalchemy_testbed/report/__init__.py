"""Report the results of the battery: as a page, as Markdown, in the terminal, and as JSON."""
