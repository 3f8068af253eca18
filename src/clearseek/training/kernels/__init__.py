"""What lies between the matrix products of a step: its meaning in torch, and the same in C++."""
