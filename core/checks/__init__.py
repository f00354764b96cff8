"""Is it right, is it fast, and do the examples show what they are there for? All of it can be asked
on anybody's own machine."""
