"""From readings to one observation: doubts, joined workers and their states, and what is worth remembering. Pure."""
