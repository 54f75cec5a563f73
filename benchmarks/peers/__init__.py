"""Ingate beside Arize Phoenix and MLflow, on this machine and in one run: `make bench-peers`.

Each peer is installed from the package index into an environment of its own below build/peers/, runs on SQLite, and
takes the same exchanges the way it takes them: OTLP over HTTP, an exchange a span. It is done when its own database
has them all. Never part of CI.
"""
