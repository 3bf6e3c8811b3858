"""Pareto mathematics: objectives to losses, fronts, knees, hypervolumes. Knows nothing of torch, Ray or reports."""
