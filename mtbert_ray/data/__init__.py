"""From rows on disk to batches of token ids: sources, tokenisation, batching. Knows nothing of models, costs or Ray."""
