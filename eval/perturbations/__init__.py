"""Changes to photos and networks whose effect on maps is measured."""
