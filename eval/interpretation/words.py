"""Run `gazeback interpret` for captioners: find the encoder's filters for a word, and caption without them.

The class is "a caption of the photo contains the word". Features are learned on the train split. On the dev
split, photos whose generated caption contains the word are captioned again without the word's features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gazeback.eval.data.selection import RULE, select
from gazeback.eval.harness.run import as_result, tracked, write_result
from gazeback.eval.harness.table import print_tables
from gazeback.eval.harness.task import skipped_line
from gazeback.eval.interpretation import figures, relevant
from gazeback.eval.interpretation.ablation import DRAWS, randomly, selected
from gazeback.eval.interpretation.feedback import Feedback, explain_features
from gazeback.eval.interpretation.figures import write_curves
from gazeback.eval.interpretation.forward import Forward, Network
from gazeback.eval.interpretation.pages import write_averages, write_feedbacks
from gazeback.eval.interpretation.relevant import RelevantFeatures
from gazeback.eval.interpretation.responses import collect
from gazeback.eval.metrics.statistics import Mean
from gazeback.eval.metrics.words import COLOUR, NOUN, kind_of
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.errors import PhotoError, UserError
from gazeback.models.training.captions_folder import Split, read_captions_folder

if TYPE_CHECKING:
    from gazeback.eval.interpretation.settings import Settings

WORDS = 20
COUNTS = (2, 8, 32)
"""The numbers of filters of a word that are removed."""
LEARNED = 1500
"""The number of photos to learn from if there is no limit."""
PHOTOS = 15
"""The largest number of photos on which a word is measured."""
BATCH = 8
PROTOCOL = "each word without its own features"


def run_words(settings: Settings) -> None:
    """Learn, measure, print tables, write the files. Raises UserError."""
    from gazeback.eval.interpretation.relevant import learn_both
    from gazeback.eval.interpretation.settings import ABLATION, CAPTIONER, CURVES, RELEVANT, RESPONSES

    source = None if settings.model == CAPTIONER else settings.model
    captioner = load_captioner(source)
    train, dev = read_captions_folder(settings.data)
    words = chosen_words(train, captioner, settings.words)
    train = sample(train, settings.limit or LEARNED)
    network = Network.of(captioner)
    load = partial(_network, source)
    responses = collect(network, train.photos, settings.out / RESPONSES, settings.workers, load)
    rows = np.flatnonzero(responses.readable)
    labels = mentions(train, words)[rows]
    found = learn_both(responses, rows, labels, words, network.forward, settings.mu, settings.scale)
    relevant.save(settings.out / RELEVANT, *found)
    shown = next(one for one in found if one.variant == settings.variant)
    skipped = Counter({"unreadable image": len(responses.skipped)})
    dev = sample(dev, settings.limit)
    by_word = PhotosByWord.of(captioner, network, dev, words, skipped)
    summary = summarise(measure(captioner, network.forward, shown, by_word), shown.variant)
    tables = [figures.relevant_table(shown), figures.words_table(summary), figures.word_curve_table(summary)]
    about = {"model": captioner.name, **settings.as_json(), "split": RULE, "learned from": len(rows)}
    result = {**as_result(tables), **about, **summary}
    write_result(settings.out / ABLATION, "interpret", result)
    if summary["curve"]:  # otherwise no caption contains any of the words
        title = f"{captioner.name}: words without their relevant filters"
        write_curves(settings.out / CURVES, title, summary["curve"], "captions that still contain the word")
    print_tables(tables, skipped_line(skipped))
    if settings.json_path is not None:
        write_result(settings.json_path, "interpret", result)
    write_averages(network, [train.photos[row] for row in rows], shown, settings.out)
    write_feedbacks(dev.photos, partial(_explained, network, captioner, shown), settings.out)


def _network(source: str | None) -> Network:
    return Network.of(load_captioner(source))


def _explained(network: Network, captioner: Captioner, shown: RelevantFeatures, path: Path) -> Feedback:
    """Explain the most frequent word that a photo's caption contains, or any word if it contains none."""
    caption = captioner.generate(network.read(path)[None])[0]
    word = next((word for word in shown.classes if word in caption.words), shown.classes[0])
    return explain_features(
        network.model,
        network.preprocess,
        path,
        shown,
        word,
        last=network.last,
        forward=network.forward,
        model_name=captioner.name,
    )


def chosen_words(split: Split, captioner: Captioner, asked: str | None) -> tuple[str, ...]:
    """Choose the words: those asked for, or the nouns and colours of the vocabulary that are in the captions
    of most photos.

    Raises UserError for a word that no caption contains or that the captioner does not know.
    """
    photos = Counter(word for captions in split.captions for word in {w for one in captions for w in one})
    if asked is not None:
        words = tuple(dict.fromkeys(word.strip().lower() for word in asked.split(",") if word.strip()))
        for word in words or ("",):
            if not photos[word] or word not in captioner.vocabulary:
                raise UserError(
                    f"--words: {word!r} is in no caption of the train split or not in the vocabulary"
                )
        return words
    known = [w for w, _ in photos.most_common() if w in captioner.vocabulary and kind_of(w) in (NOUN, COLOUR)]
    if not known:
        raise UserError(
            "the captions say no noun or colour that the captioner knows; name words with --words"
        )
    return tuple(known[:WORDS])


def sample(split: Split, limit: int | None) -> Split:
    """Keep at most `limit` photos, the first by the hash of the name."""
    order = select(range(len(split)), [path.name for path in split.photos], "all", limit)
    return Split(split.name, tuple(split.photos[i] for i in order), tuple(split.captions[i] for i in order))


def mentions(split: Split, words: Sequence[str]) -> np.ndarray:
    """The labels L: whether one of a photo's captions contains a word, bool [n, words]."""
    words_of = [{word for caption in captions for word in caption} for captions in split.captions]
    return np.array([[word in one for word in words] for one in words_of])


@dataclass(frozen=True, eq=False)
class PhotosByWord:
    """The photos whose generated caption contains a word, by word: (name, pixels) pairs, `PHOTOS` at most."""

    photos: dict[str, list[tuple[str, np.ndarray]]]

    @classmethod
    def of(
        cls, captioner: Captioner, network: Network, split: Split, words: Sequence[str], skipped: Counter[str]
    ) -> PhotosByWord:
        """Caption the photos of a split; unreadable photos are counted."""
        found: dict[str, list[tuple[str, np.ndarray]]] = {word: [] for word in words}
        total = -(-len(split) // BATCH)
        for batch in tracked(_batches(split.photos), total, f"captions, {BATCH} at a time"):
            pixels = []
            for path in batch:
                try:
                    pixels.append((path.name, network.read(path)))
                except PhotoError:
                    skipped["unreadable image"] += 1
            captions = captioner.generate(np.stack([image for _, image in pixels])) if pixels else []
            for photo, caption in zip(pixels, captions, strict=True):
                for word in found.keys() & set(caption.words):
                    if len(found[word]) < PHOTOS:
                        found[word].append(photo)
        return cls(found)


@dataclass(frozen=True, eq=False)
class Kept:
    """Whether captions still contain a word: bool [counts, photos] without the selected filters, and bool
    [counts, draws, photos] without random ones; names of the photos."""

    word: str
    names: tuple[str, ...]
    selected: np.ndarray
    random: np.ndarray


def measure(
    captioner: Captioner, forward: Forward, found: RelevantFeatures, by_word: PhotosByWord, seed: int = 0
) -> Iterator[Kept]:
    """Caption each word's photos without its features, and without random filters of the same layers."""
    random = np.random.default_rng(seed)
    words = [word for word in found.classes if by_word.photos[word]]
    for word in tracked(words, len(words), "words"):
        masks = []
        for count in COUNTS:
            own = selected(found, word, count, forward)
            masks += [own, *(randomly(own, forward, random) for _ in range(DRAWS))]
        batches = _batches(by_word.photos[word])
        kept = [_still_mentioned(captioner, forward, word, batch, masks) for batch in batches]
        each = np.concatenate(kept, axis=1).reshape(len(COUNTS), 1 + DRAWS, -1)
        names = tuple(name for name, _ in by_word.photos[word])
        yield Kept(word, names, each[:, 0], each[:, 1:])


def summarise(measured: Iterable[Kept], variant: str) -> dict[str, Any]:
    """Compute the fractions of captions that still contain the word.

    Returns:
        `words`: for each, at the largest count, `photos`, `selected`, `random`; `curve`: over all words, a
        row for each count with `selected`, `random`, their `difference` photo by photo (`Summary`; the photos
        are the groups of the standard errors) and `ratio`, how many times more often the selected filters
        remove the word than random ones.
    """
    everything = list(measured)
    words = [
        {"word": one.word, "photos": len(one.names), "count": COUNTS[-1], **_row([one], len(COUNTS) - 1)}
        for one in everything
    ]
    curve = [
        {"variant": variant, "protocol": PROTOCOL, "count": count, **_row(everything, place)}
        for place, count in enumerate(COUNTS)
    ]
    return {"words": words, "curve": curve if everything else []}


def _row(measured: Sequence[Kept], place: int) -> dict[str, Any]:
    selected, random, difference = Mean(), Mean(), Mean()
    for one in measured:
        for photo, name in enumerate(one.names):
            with_selected, with_random = one.selected[place, photo], one.random[place, :, photo]
            selected.update(with_selected, name)
            random.update(with_random, name)
            difference.update(with_selected - with_random.mean(), name)
    gone, gone_at_random = (1 - (mean.summary().mean or 0.0) for mean in (selected, random))
    return {
        "selected": selected.summary().as_json(),
        "random": random.summary().as_json(),
        "difference": difference.summary().as_json(),
        "ratio": gone / gone_at_random if gone_at_random > 0 else None,
    }


def _still_mentioned(
    captioner: Captioner,
    forward: Forward,
    word: str,
    photos: Sequence[tuple[str, np.ndarray]],
    masks: Sequence[np.ndarray],
) -> np.ndarray:
    """Whether the captions of photos without some filters contain a word: bool [masks, photos]."""
    removed = np.repeat(np.stack(masks)[:, None], len(photos), axis=1)
    maps = forward.ablated(np.stack([pixels for _, pixels in photos]), removed)
    captions = captioner.search(maps.reshape(-1, *maps.shape[2:]))
    return np.array([word in best[0].words for best in captions]).reshape(len(masks), len(photos))


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[first : first + BATCH] for first in range(0, len(items), BATCH))
