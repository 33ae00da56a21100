"""The commands of `ambienti`, a file for each kind of question."""
