"""Text: ids and back, prompts, sampling, streaming."""
