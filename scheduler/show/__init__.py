"""What people and pages are shown, drawn from observation and plan."""
