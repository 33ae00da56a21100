"""The shared words: readings, workers, actions, policy, ports, time."""
