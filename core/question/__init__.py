"""What is asked: texts, tokens, the experiment. Needs neither torch nor a network's weights."""
