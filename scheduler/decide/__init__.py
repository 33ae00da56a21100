"""The pure decisions, in their order: demand, shares, placement, retirement, health, explanation."""
