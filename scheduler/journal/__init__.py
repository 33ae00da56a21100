"""What the daemon writes down: intents before acts, workers, boots, sightings, events and the lease."""
