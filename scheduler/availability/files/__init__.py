"""What is read and written: history files, calendars, other systems' downtimes."""
