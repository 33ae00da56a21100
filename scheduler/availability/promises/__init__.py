"""What was promised: OpenSLO, error budgets, burn rates, and where a promise stands."""
