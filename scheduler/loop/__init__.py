"""The one loop: ask, observe, decide, act, remember."""
