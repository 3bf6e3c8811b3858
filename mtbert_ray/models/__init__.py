"""Encoders, task heads and adapters: from a TrialConfig to a module that scores and predicts.

Knows nothing of data sets, optimizers or Ray.
"""
