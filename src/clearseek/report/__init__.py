"""Pure rendering: self-contained HTML pages, figures in words, charts as SVG. Knows nothing of any other room."""
