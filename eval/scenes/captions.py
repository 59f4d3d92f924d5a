"""Captions of scenes, with what each word is about: "look a big red circle and a small blue square here".

A caption has an opening, two things or how one lies to the other ("see a red circle left of a blue square
there"), and an ending. Two of its words the picture cannot decide: the opening is chance alone, "look" or
"see"; the ending is language alone, "here" after "look" and "there" after "see".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gazeback.eval.scenes.scenes import Scene, Thing

ENDINGS = {"look": "here", "see": "there"}
RELATIONS = {"left": ("left", "of"), "right": ("right", "of"), "above": ("above",), "below": ("below",)}
FUNCTION_WORDS = ("a", "and", "of")
CLEARLY = 1.5
"""A thing lies left of another if it is that many times farther left than above or below, and so on."""

VISUAL_KINDS = ("colour", "shape", "size", "relation")
KINDS = (*VISUAL_KINDS, "function", "chance", "habit")


@dataclass(frozen=True)
class Word:
    """A word, its kind (one of ``KINDS``) and the numbers of the scene's things that it is about.

    Words that no picture decides (function words, the opening, the ending) are about none. A word of colour,
    shape or size is about the things that the caption up to it can still mean: one, save where the size that
    begins a description fits several. A relation is about both its things.
    """

    text: str
    kind: str
    things: tuple[int, ...] = ()

    def mask(self, scene: Scene) -> np.ndarray | None:
        """The pixels that the word is about: bool ``[side, side]``; None for a word about no thing."""
        return np.any(scene.masks[list(self.things)], axis=0) if self.things else None


Caption = tuple[Word, ...]


def drawn(scene: Scene, random: np.random.Generator) -> list[Caption]:
    """A caption that lists two things and one with a relation, if two of the things have a clear one."""
    kinds = [list(_lists(scene.things)), list(_relations(scene.things))]
    chosen = [inner[random.integers(len(inner))] for inner in kinds if inner]
    openings = random.choice(list(ENDINGS), len(chosen))
    return [_framed(inner, str(opening)) for inner, opening in zip(chosen, openings, strict=True)]


def misled(scene: Scene, other: Scene, random: np.random.Generator) -> Caption:
    """A list of a thing of another scene, whose words are taken to be about nothing, and a thing of this one.

    The first thing may be there as well, by chance. Who goes on has to look: that something was said to be
    there tells nothing of what else is.
    """
    here = int(random.integers(len(scene.things)))
    first = _named(other.things, int(random.integers(len(other.things))), (), sized=True)
    second = _named(scene.things, here, (), sized=True)
    inner = [*(replace(word, things=()) for word in first), Word("and", "function"), *second]
    return _framed(inner, str(random.choice(list(ENDINGS))))


def fixed(scene: Scene) -> list[Caption]:
    """The captions by which a scene is measured: as drawn, and always the same ones."""
    return drawn(scene, np.random.default_rng([scene.seed, scene.index, 1]))


def right(scene: Scene) -> set[tuple[str, ...]]:
    """All captions that are true of a scene, as their words."""
    inners = [*_lists(scene.things), *_relations(scene.things)]
    captions = [_framed(inner, opening) for inner in inners for opening in ENDINGS]
    return {tuple(word.text for word in caption) for caption in captions}


def relation_of(first: Thing, second: Thing) -> str | None:
    """How the first lies to the second: a word of ``RELATIONS``, None where it is not clear."""
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
    """The words for a thing; ``before``: the things that are named already."""
    thing = things[number]
    alike = tuple(i for i, other in enumerate(things) if other.size == thing.size and i not in before)
    size = [Word(thing.size, "size", alike)] if sized else []
    attributes = [Word(thing.colour, "colour", (number,)), Word(thing.shape, "shape", (number,))]
    return [Word("a", "function"), *size, *attributes]


def _framed(inner: Sequence[Word], opening: str) -> Caption:
    return (Word(opening, "chance"), *inner, Word(ENDINGS[opening], "habit"))
