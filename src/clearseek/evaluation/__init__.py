"""Evaluations: problems asked of a model, answers scored, figures with their intervals. No torch."""
