"""What is learned from: chat format, worked examples, problems, everyday chat, files of one's own."""
