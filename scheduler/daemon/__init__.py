"""The process that goes round: ticker, signals, pages, metrics and log."""
