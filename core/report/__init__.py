"""A report: findings with what their author says about them, and the documents made of it."""
