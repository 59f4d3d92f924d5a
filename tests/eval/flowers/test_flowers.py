"""Drawn flowers: the same from the same seed, right masks, nothing outside the mask that tells the class."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from gazeback.eval.flowers.drawing import PARTS, PLAIN, SIZE, Drawing
from gazeback.eval.flowers.flowers import COLOURS, KINDS, SEEDS, class_names, flower, flowers
from gazeback.models.errors import UserError

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_the_same_seed_and_index_draw_the_same_picture(kind):
    for index in (0, 7):
        first, second = flower(kind, 3, index), flower(kind, 3, index)
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.mask, second.mask)
        assert first.label == second.label


@kinds
def test_other_seeds_and_other_indices_draw_other_pictures(kind):
    classes = len(class_names(kind))
    pictures = [flower(kind, seed, index).image for seed in SEEDS.values() for index in (0, classes)]
    for i, one in enumerate(pictures):
        assert all((one != other).any() for other in pictures[:i])
    assert len(set(SEEDS.values())) == len(SEEDS)


@kinds
def test_shapes_types_and_balanced_classes(kind):
    classes = len(class_names(kind))
    drawn = list(flowers(kind, 5, range(2 * classes)))
    assert [each.label for each in drawn] == 2 * list(range(classes))
    for each in drawn:
        assert (each.image.shape, each.image.dtype) == ((SIZE, SIZE, 3), np.uint8)
        assert (each.mask.shape, each.mask.dtype) == ((SIZE, SIZE), bool)
        assert 0.005 < each.mask.mean() < 0.25


def test_the_classes_by_name():
    assert class_names("single-6c")[:2] == ("red petals", "orange petals")
    assert len(class_names("single-6c")) == 6
    assert len(class_names("double-12c")) == 12
    assert class_names("double-12c")[6] == "red pot"


def test_pictures_are_drawn_when_asked_for():
    endless = flowers("single-6c", 5, iter(int, 1))
    assert next(endless).label == 0


@kinds
def test_pixels_of_the_mask_have_the_colour_of_the_class(kind):
    colours = {name: np.array(value, float) / np.linalg.norm(value) for name, value in COLOURS.items()}
    for index, name in enumerate(class_names(kind)):
        each = flower(kind, 5, index)
        mean = each.image[each.mask].mean(axis=0)
        nearest = max(colours, key=lambda colour: colours[colour] @ mean / np.linalg.norm(mean))
        assert nearest == name.split()[0]


@kinds
def test_another_class_changes_nothing_but_the_part(kind):
    """The mask has the pixels of which the part covers half; the others that change, it covers in part."""
    for seed in range(6):
        drawing = Drawing.draw(np.random.default_rng(seed))
        for part in KINDS[kind]:
            painted = [drawing.painted(part, colour) for colour in COLOURS.values()]
            mask = painted[0][1]
            outside = drawing.share(part) == 0
            assert (drawing.share(part)[mask] >= 0.5).all()
            for image, other_mask in painted:
                np.testing.assert_array_equal(other_mask, mask)
                np.testing.assert_array_equal(image[outside], painted[0][0][outside])
            red, blue = painted[0][0].astype(int), painted[3][0].astype(int)
            assert (np.abs(red - blue)[mask].max(axis=1) > 20).all()


def test_outside_the_mask_the_classes_have_equal_statistics():
    """Mean colour and its spread outside: the classes differ by no more than chance (F test, p > .001)."""
    found: dict[int, list] = {}
    for each in flowers("single-6c", 5, range(72)):
        outside = each.image[~binary_dilation(each.mask)].astype(float)
        found.setdefault(each.label, []).append([*outside.mean(axis=0), *outside.std(axis=0)])
    groups = np.array([found[label] for label in sorted(found)])
    between = groups.shape[1] * groups.mean(axis=1).var(axis=0, ddof=1)
    within = groups.var(axis=1, ddof=1).mean(axis=0)
    assert (between / within < 4.7).all()  # the .999 quantile of F(5, 66)


def test_the_mask_is_what_is_seen_of_the_part():
    """The centre hides petals, and leaves hide the pot: what is in front is not in the mask."""
    drawing = Drawing.draw(np.random.default_rng(2))
    masks = {part: drawing.painted(part, (1, 2, 3))[1] for part in PARTS}
    total = sum(mask.astype(int) for mask in masks.values())
    assert total.max() == 1
    rows, columns = np.nonzero(masks["centre"])
    middle = round(rows.mean()), round(columns.mean())
    assert masks["centre"][middle]
    assert not masks["petals"][middle]


def test_a_plain_part_has_its_plain_colour():
    drawing = Drawing.draw(np.random.default_rng(2))
    plain, changed = drawing.painted("petals", PLAIN["petals"])[0], drawing.painted("pot", PLAIN["pot"])[0]
    np.testing.assert_array_equal(plain, changed)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="unknown kind of flowers 'roses'; there are single-6c and"):
        flower("roses", 0, 0)
    with pytest.raises(UserError, match="a seed and an index from 0, got 0 and -1"):
        flower("single-6c", 0, -1)
