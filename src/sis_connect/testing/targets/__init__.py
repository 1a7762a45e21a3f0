"""What the target suite is made of: a small district in memory, a bench to synchronise it from, and the checks."""
