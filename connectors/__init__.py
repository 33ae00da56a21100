"""The real farm: one file per foreign system, reached by entry point only."""
