"""What is computed: token ids in, final states out. Knows no text, no tokenizer, no metric."""
