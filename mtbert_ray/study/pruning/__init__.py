"""Decides which trials end early: by what they will cost, and by their Pareto rank at rungs."""
