"""`gazeback evaluate support`: which words of a generated caption are true, and can one tell?

The content words of generated captions are judged in up to three ways, as far as the folder has the data:

- said: the word's stem is in one of the references. Support is the probability of that.
- boxed: of nouns, the stem is in a phrase with a box (Flickr30k Entities).
- object: of words for COCO's categories, the photo has an instance, or a reference names the category. Other
  objects are hallucinated (CHAIR: Rohrbach et al., *Object Hallucination in Image Captioning*, EMNLP 2018,
  section 2).

Support is compared with figures that it is made of, and with statistics of the word's relevance map alone.
Sun et al. (*Explain and improve: LRP-inference fine-tuning for image captioning models*, Information Fusion
2022) use maximum, mean and quantiles. Here that map is the net relevance of `evidence` at the last map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.captions import CaptionData
from gazeback.eval.data.coco import CocoObjects, read_objects
from gazeback.eval.data.files import annotation_files, is_coco, split_file
from gazeback.eval.data.image import CaptionedImage
from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.metrics.words import NOUN, kind_of
from gazeback.eval.subjects.captioner import CaptionerSubject, CaptionerTask, model_input
from gazeback.eval.tasks.support_tables import (
    SCORES,
    SUPPORT,
    areas_table,
    calibration_table,
    chair_table,
)
from gazeback.grounding.captions import word_evidence
from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.content_words import is_content, stem, stems
from gazeback.models.contents import digest, files_digest
from gazeback.models.photos import load_photo
from gazeback.models.vocabulary import tokenize
from gazeback.models.word_cues import ScoredCaption

QUANTILE = 0.95


@dataclass(frozen=True)
class Truth:
    """What people know of a photo: the stems of the words that they say, of the words in phrases with boxes,
    and its COCO categories; None where the folder does not have them."""

    said: frozenset[str]
    boxed: frozenset[str] | None
    categories: frozenset[str] | None


@dataclass(frozen=True)
class SupportTask(CaptionerTask):
    """Measures how well figures of generated words tell whether they are true."""

    name: ClassVar[str] = "support"
    methods = (SUPPORT,)

    @cached_property
    def read(self) -> CaptionData:
        return CaptionData(self.data, self.split, self.part, self.limit)

    @cached_property
    def truths(self) -> Mapping[str, Truth]:
        """What people know of each photo, by file name."""
        boxed = self._boxed()
        return {
            image.file_name: Truth(
                stems(image.captions),
                None if boxed is None else boxed.get(image.file_name, frozenset()),
                None if self.objects is None else self._categories(self.objects, image),
            )
            for image in self.read.images
        }

    def _boxed(self) -> dict[str, frozenset[str]] | None:
        if not (self.data / f"phrases_{self.split}.json").is_file():
            return None
        return {
            image.file_name: stems(
                tokenize(phrase.text)
                for sentence in image.sentences
                for phrase in sentence.phrases
                if phrase.boxes
            )
            for image in PhraseData(self.data, self.split).everything
        }

    @cached_property
    def objects(self) -> CocoObjects | None:
        """The objects of a folder in COCO's format."""
        if not is_coco(self.data, self.split):
            return None
        return read_objects(
            split_file(self.data, self.split, "instances"), self.data / self.split, self.skipped
        )

    def _categories(self, objects: CocoObjects, image: CaptionedImage) -> frozenset[str]:
        """CHAIR's objects of a photo: the categories of its instances, and those that its captions name."""
        shown = objects.images.get(image.id)
        seen = {one.category for one in shown.objects} if shown else set()
        named = (objects.instances.names.named_by(caption).values() for caption in image.captions)
        return frozenset(seen.union(*(names for of_caption in named for names in of_caption)))

    def cache_key(self) -> dict[str, Any]:
        files = annotation_files(self.data, self.split) if self.objects or self._boxed() else []
        return {**super().cache_key(), "objects": files_digest(files), "scores": list(SCORES)}

    def model_digest(self, subject: CaptionerSubject) -> str:
        support = subject.captioner.support
        return digest(super().model_digest(subject), None if support is None else support.to_bytes())

    def score(self, record: Record) -> float | None:
        """One minus the mean squared distance of support and truth (Brier's score) over a caption's words."""
        pairs = [(word["scores"][SUPPORT], word["said"]) for word in record["words"]]
        known = [(support - said) ** 2 for support, said in pairs if support is not None]
        return 1 - float(np.mean(known)) if known else None

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        return {name: dict.fromkeys(methods, self._record(subject, name)) for name in names}

    def _record(self, subject: CaptionerSubject, name: str) -> Record:
        captioner, truth = subject.captioner, self.truths[name]
        pixels, _ = model_input(self.images[name].path, captioner.side)
        features = np.asarray(captioner.features(pixels[None]))
        caption = captioner.search(features)[0][0]
        scores = word_figures(captioner, pixels, features, caption.ids)
        named = {} if self.objects is None else self.objects.instances.names.named_by(caption.words)
        words = []
        for place, word in enumerate(caption.words):
            if not is_content(word) and place not in named:
                continue
            known = {"word": word, "content": is_content(word), "scores": scores[place]}
            known["said"] = stem(word) in truth.said
            if truth.boxed is not None and kind_of(word) == NOUN:
                known["boxed"] = stem(word) in truth.boxed
            # of "hot dog" only the last word counts as an object
            if truth.categories is not None and place in named and named.get(place + 1) != named[place]:
                known["object"] = not truth.categories.isdisjoint(named[place])
            words.append(known)
        return {"caption": str(caption), "words": words}

    def tables(self, records: Records) -> list[Table]:
        photos = records[SUPPORT]
        found = [areas_table(photos), calibration_table(photos)]
        return [table for table in (*found, chair_table(photos)) if table is not None]

    def example(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The photo with the caption, and the support of each content word."""
        record = self._record(subject, name)
        told = [
            f"{word['word']} {word['scores'][SUPPORT]:.2f}"
            for word in record["words"]
            if word["scores"][SUPPORT]
        ]
        return Example(
            load_photo(self.images[name].path).pixels, {}, title=f"{record['caption']}: {', '.join(told)}"
        )


def word_figures(
    captioner: CaptionGenerator, pixels: np.ndarray, features: np.ndarray, ids: Sequence[int]
) -> list[dict[str, float | None]]:
    """The figures `SCORES` of each word of a caption; None where the captioner has none.

    pixels: float32 [size, size, 3]; features: the last map, float32 [1, h, w, C].
    """
    if not ids:
        return []
    scored = ScoredCaption.of(captioner, features, ids)
    photo, mean, supports = scored.photo, scored.mean, scored.supports()
    nets = [fixations.net for fixations in word_evidence(captioner, pixels, ids)]
    found = []
    for place, number in enumerate(ids):
        step, own, net = photo[place], float(photo[place, number]), nets[place]
        figures = (
            supports[place],
            own,
            float((np.exp(step) * step).sum(where=step > -np.inf)),
            None if mean is None else own - float(mean[place, number]),
            *(
                (None,) * 3
                if net is None
                else (float(net.max()), float(net.mean()), float(np.quantile(net, QUANTILE)))
            ),
        )
        found.append(dict(zip(SCORES, figures, strict=True)))
    return found
