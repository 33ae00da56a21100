"""The loop: observe, decide, act, remember, report."""
