"""Problems whose answers a program can check: generators, verifiers, worked solutions, and their data cards."""
