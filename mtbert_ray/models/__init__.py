"""Encoders, task heads and adapters: from a TrialConfig to a module that scores and predicts."""
