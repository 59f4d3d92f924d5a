"""Ranges of the numbers on the command line. Beyond them there is no sense, or no memory."""

import click

MOST, LARGEST_SEED = 10_000_000, 2**32 - 1  # a seed as NumPy and Keras take it
COUNT, SEED = click.IntRange(1, MOST), click.IntRange(0, LARGEST_SEED)
WIDTH = 4096
"""The most units of a layer."""
