"""The drawn flowers: a classification benchmark with exact masks."""
