"""Commands of the command line, one per module; each is imported when it runs."""
