"""Sweeps on a simulated clock, over recorded journals or a tabular benchmark."""
