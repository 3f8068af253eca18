"""Learning: generating ids, scoring them, and training on them. Needs the extra `train`."""
