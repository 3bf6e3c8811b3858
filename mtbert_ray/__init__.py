"""Pareto sweeps for multitask BERT fine-tuning: quality against GPU memory, time and energy, on Ray."""

__version__ = "0.1.0"
