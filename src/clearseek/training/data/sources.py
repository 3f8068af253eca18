"""Names of what supervised stages learn from, beside files: what `sources` of a recipe may say."""

SOLUTIONS = "solutions"
"""Worked solutions of the run's tasks."""
GLANCES = "glances"
"""The same, with a thought that only names the answer."""
IDENTITY = "identity"
"""Who the model is."""
FROM_TASKS = (SOLUTIONS, GLANCES)
