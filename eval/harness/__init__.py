"""How a task of `gazeback evaluate` runs: image by image, resumable, from data to tables and pages."""
