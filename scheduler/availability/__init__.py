"""Availability: from events to timelines, from timelines to figures, verdicts and reports; all of it pure."""
