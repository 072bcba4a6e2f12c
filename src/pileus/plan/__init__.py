"""What is wanted, what is there, and the difference as steps. Pure."""
