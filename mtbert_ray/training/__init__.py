"""Floor 2: one fine-tuning run, on one process or several, without Ray."""
