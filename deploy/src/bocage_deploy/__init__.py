"""Runs Bocage on one machine: embedded PostgreSQL, supervisor, set-up and demo."""
