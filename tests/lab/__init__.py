"""The lab: real systems started by hand, for the tests and for `make lab`."""
