"""A farm that can break, under a simulated clock: plant, faults, scenarios, invariants."""
