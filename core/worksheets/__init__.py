"""Tasks for a class: what is asked, what somebody answered, and whether it holds."""
