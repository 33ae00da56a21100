"""What timelines amount to: profiles, figures, verdicts, and why two of them differ."""
