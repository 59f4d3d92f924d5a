"""What an explanation is written to: page, figure, JSON, index."""
