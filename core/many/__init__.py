"""Many pairs: from a file of them to one map, with how sure it is."""
