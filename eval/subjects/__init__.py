"""Subjects of tasks: a loaded model, and the maps of every method for it."""
