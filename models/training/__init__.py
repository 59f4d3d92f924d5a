"""Training a captioner of one's own; the door is ``gazeback train captioner``."""
