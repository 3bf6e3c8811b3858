"""Scores of predictions: kept dev predictions, and the noise of scores."""
