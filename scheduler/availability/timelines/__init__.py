"""What was when: from results to timelines of objects and groups."""
