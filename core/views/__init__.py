"""A result -> something to look at or to keep. Knows no model and no page."""
