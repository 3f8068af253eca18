"""The kinds of stage a recipe is made of."""
