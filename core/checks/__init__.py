"""Is it right, and is it fast? Both can be asked on anybody's own machine."""
