"""What guidance adds to a posterior mean, how strongly at which noise level, and what it makes of a Gaussian."""
