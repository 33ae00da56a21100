"""The process that goes round: rhythms, signals, pages, metrics and log."""
