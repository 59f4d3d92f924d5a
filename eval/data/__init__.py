"""Read data folders: images with objects, phrases and captions, in several formats."""
