"""How fast ClearSeek rolls out and learns, with its peers beside it on the same weights in the same run."""
