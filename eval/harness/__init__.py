"""Run a task of `gazeback evaluate`: image by image, resumable, from data to tables and pages."""
