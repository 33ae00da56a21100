"""HTCondor's Python bindings, in the order that they need: with classad2 alone, split() in requirements is an error."""

import htcondor2

# isort: split
import classad2

__all__ = ["classad2", "htcondor2"]
