"""What states and runs say: metrics, next tokens, lens, attribution, the course of a patch."""
