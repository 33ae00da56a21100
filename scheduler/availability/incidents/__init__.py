"""Incidents and who answers them: lifecycle, deadlines, rotations, escalation. Pure: no clock, no database."""
