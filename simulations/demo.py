"""`ambienti demo`: one minute of the real daemon on embedded defaults."""
