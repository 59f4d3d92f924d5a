"""Captions of scenes, with the things that each word names: "look a big red circle and a small blue square
here".

A caption has an opening, two things or the relation between two things ("see a red circle left of a blue
square there"), and an ending. The picture cannot decide two of its words. The opening is random, "look" or
"see". The ending follows from the opening, "here" after "look" and "there" after "see".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gazeback.eval.scenes.scenes import Scene, Thing

ENDINGS = {"look": "here", "see": "there"}
RELATIONS = {"left": ("left", "of"), "right": ("right", "of"), "above": ("above",), "below": ("below",)}
FUNCTION_WORDS = ("a", "and", "of")
CLEARLY = 1.5
"""A thing is left of another if it is this many times farther left than above or below, and so on."""

VISUAL_KINDS = ("colour", "shape", "size", "relation")
KINDS = (*VISUAL_KINDS, "function", "chance", "habit")


@dataclass(frozen=True)
class Word:
    """A word, its kind (one of ``KINDS``) and the numbers of the scene's things that it names.

    Words that no picture decides (function words, the opening, the ending) name no thing. A word of colour,
    shape or size names the things that the caption up to this word can mean: one thing, or several if a size
    begins a description and fits several. A relation names both its things.
    """

    text: str
    kind: str
    things: tuple[int, ...] = ()

    def mask(self, scene: Scene) -> np.ndarray | None:
        """The pixels of the things that the word names: bool ``[side, side]``; None for a word that names no
        thing."""
        return np.any(scene.masks[list(self.things)], axis=0) if self.things else None


Caption = tuple[Word, ...]


def drawn(scene: Scene, random: np.random.Generator) -> list[Caption]:
    """Draw a caption that lists two things, and one with a relation if two of the things have a clear one."""
    kinds = [list(_lists(scene.things)), list(_relations(scene.things))]
    chosen = [inner[random.integers(len(inner))] for inner in kinds if inner]
    openings = random.choice(list(ENDINGS), len(chosen))
    return [_framed(inner, str(opening)) for inner, opening in zip(chosen, openings, strict=True)]


def misled(scene: Scene, other: Scene, random: np.random.Generator) -> Caption:
    """Draw a caption that lists a thing of another scene, and then a thing of this scene.

    The words of the first thing name nothing; it may still be in this scene by chance. To continue the
    caption, a captioner has to look at the picture: the first thing says nothing about the second.
    """
    here = int(random.integers(len(scene.things)))
    first = _named(other.things, int(random.integers(len(other.things))), (), sized=True)
    second = _named(scene.things, here, (), sized=True)
    inner = [*(replace(word, things=()) for word in first), Word("and", "function"), *second]
    return _framed(inner, str(random.choice(list(ENDINGS))))


def fixed(scene: Scene) -> list[Caption]:
    """The captions by which a scene is measured; they are drawn once, and are always the same."""
    return drawn(scene, np.random.default_rng([scene.seed, scene.index, 1]))


def right(scene: Scene) -> set[tuple[str, ...]]:
    """All captions that are true of a scene, as words."""
    inners = [*_lists(scene.things), *_relations(scene.things)]
    captions = [_framed(inner, opening) for inner in inners for opening in ENDINGS]
    return {tuple(word.text for word in caption) for caption in captions}


def relation_of(first: Thing, second: Thing) -> str | None:
    """The relation of the first thing to the second: a word of ``RELATIONS``, None if it is not clear."""
    down, right = first.row - second.row, first.column - second.column
    if abs(right) >= CLEARLY * abs(down):
        return "left" if right < 0 else "right"
    if abs(down) >= CLEARLY * abs(right):
        return "above" if down < 0 else "below"
    return None


def _lists(things: Sequence[Thing]) -> Iterator[list[Word]]:
    for first, second in _pairs(things):
        one, other = _named(things, first, (), sized=True), _named(things, second, (first,), sized=True)
        yield [*one, Word("and", "function"), *other]


def _relations(things: Sequence[Thing]) -> Iterator[list[Word]]:
    for first, second in _pairs(things):
        relation = relation_of(things[first], things[second])
        if relation is not None:
            one, other = _named(things, first, (), sized=False), _named(things, second, (first,), sized=False)
            word, *rest = RELATIONS[relation]
            between = [Word(word, "relation", (first, second)), *(Word(text, "function") for text in rest)]
            yield [*one, *between, *other]


def _pairs(things: Sequence[Thing]) -> list[tuple[int, int]]:
    numbers = range(len(things))
    return [(first, second) for first in numbers for second in numbers if first != second]


def _named(things: Sequence[Thing], number: int, before: tuple[int, ...], sized: bool) -> list[Word]:
    """The words for a thing; ``before``: the things that the caption has already named."""
    thing = things[number]
    alike = tuple(i for i, other in enumerate(things) if other.size == thing.size and i not in before)
    size = [Word(thing.size, "size", alike)] if sized else []
    attributes = [Word(thing.colour, "colour", (number,)), Word(thing.shape, "shape", (number,))]
    return [Word("a", "function"), *size, *attributes]


def _framed(inner: Sequence[Word], opening: str) -> Caption:
    return (Word(opening, "chance"), *inner, Word(ENDINGS[opening], "habit"))
