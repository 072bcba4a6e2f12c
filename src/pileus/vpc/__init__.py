"""The simulated VPC: an EC2 API, real machines, and a wire that enforces what AWS enforces."""
