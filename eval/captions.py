"""How good are the captions? `evaluate captions`: BLEU, CIDEr, perplexity, and how varied they are.

The scorers are `pycocoevalcap`'s pure-Python ones, on captions tokenised as the captioner's own; they differ
from the published tool chain in the tokeniser alone (it uses a Java program).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.phrases_data import split_file
from gazeback.eval.selection import select
from gazeback.eval.teacher_forcing import teacher_forced
from gazeback.models.captioner import Captioner
from gazeback.models.photos import load_photo, squeeze
from gazeback.models.training.captions_folder import read_split
from gazeback.models.training.scores import caption_scores

BATCH = 16


@dataclass(frozen=True)
class CaptionedPhoto:
    """What the captioner says of a photo, what people say, and the log probability of what people say.

    `nats` is the sum over all words of the references and their end tokens, of which there are `tokens`; a
    word that is not in the vocabulary counts as the unknown word.
    """

    file_name: str
    caption: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    nats: float
    tokens: int

    def as_json(self) -> dict[str, Any]:
        return {
            "file_name": self.file_name,
            "caption": " ".join(self.caption),
            "nats": self.nats,
            "tokens": self.tokens,
        }


def read_captions(
    folder: Path, split: str, limit: int | None = None
) -> list[tuple[Path, tuple[tuple[str, ...], ...]]]:
    """Photos and their tokenised captions from `captions_SPLIT.json`, in hash order; raises UserError."""
    read = read_split(split_file(folder, split, "captions"), folder / split, split)
    photos = list(zip(read.photos, read.captions, strict=True))
    return select(photos, [path.name for path, _ in photos], "all", limit)


def evaluate(
    captioner: Captioner, photos: Sequence[tuple[Path, tuple[tuple[str, ...], ...]]]
) -> Iterator[CaptionedPhoto]:
    """Caption the photos in batches with the captioner's own settings; one photo at a time comes out."""
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        pixels = np.stack([squeeze(load_photo(path), captioner.image_size).pixels for path, _ in batch])
        features = np.asarray(captioner.features(pixels))
        for (path, references), found, maps in zip(batch, captioner.search(features), features, strict=True):
            nats, tokens = log_probability(captioner, maps, references)
            yield CaptionedPhoto(path.name, found[0].words, references, nats, tokens)


def log_probability(
    captioner: Captioner, features: np.ndarray, references: Sequence[Sequence[str]]
) -> tuple[float, int]:
    """Sum of the log probabilities (nats) of captions with their end tokens, and the number of these tokens.

    `features` float32 [h, w, C] is the photo's last map.
    """
    vocabulary = captioner.vocabulary
    targets = [[*vocabulary.encode(words), vocabulary.end] for words in references]
    inputs = teacher_forced(vocabulary, targets)
    pictures = np.repeat(features[None], len(targets), axis=0)
    logs = np.asarray(captioner.log_probabilities(pictures, inputs))
    nats = sum(float(logs[i, np.arange(len(ids)), ids].sum()) for i, ids in enumerate(targets))
    return nats, sum(map(len, targets))


def summarise(captioned: Sequence[CaptionedPhoto]) -> dict[str, float | int]:
    """Corpus scores as `caption_scores` names them, perplexity per token, mean words per caption."""
    scores = caption_scores(
        [" ".join(photo.caption) for photo in captioned],
        [[" ".join(words) for words in photo.references] for photo in captioned],
    )
    nats, tokens = sum(photo.nats for photo in captioned), sum(photo.tokens for photo in captioned)
    return {
        **scores,
        "distinct_captions": int(scores["distinct_captions"]),
        "distinct_words": int(scores["distinct_words"]),
        "perplexity": float(np.exp(-nats / tokens)),
        "words_per_caption": float(np.mean([len(photo.caption) for photo in captioned])),
    }
