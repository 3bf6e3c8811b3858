"""Pareto mathematics: objectives to losses, fronts, knees, hypervolumes."""
