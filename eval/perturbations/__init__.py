"""Change photos and networks, to measure the effect on maps."""
