"""Who is told of an incident, when, and until when somebody must answer: pure."""
