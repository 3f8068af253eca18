"""What was spent: quantities with a basis, the meter, the book, prices and hardware."""
