"""The model of a run in every form that others read, its card and its receipt; and a run done again in parts."""
