"""What a task asks: a loaded model and the maps of every method for it."""
