"""Commands of the command line that are no flow of their own, and what they print."""
