"""Train captioners and classifiers of sketches: ``gazeback train captioner`` and
``gazeback train sketch``."""
