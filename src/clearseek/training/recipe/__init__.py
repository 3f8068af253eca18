"""What a recipe may say: its tables, the settings of every stage and of the learner, where it starts. No torch."""
