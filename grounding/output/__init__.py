"""Write explanations: page, figure, JSON, index."""
