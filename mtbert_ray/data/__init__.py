"""From rows on disk to batches of token ids: sources, tokenization, batching. Knows nothing of models, costs or Ray."""
