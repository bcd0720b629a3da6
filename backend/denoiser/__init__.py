"""The posterior mean D(x_t, t, c) = E[x_0 | x_t, c], in closed form or by a network."""
