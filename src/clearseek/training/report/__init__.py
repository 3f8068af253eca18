"""What a run shows: one view of its numbers, the console, report.html, and what it has to say at its end."""
