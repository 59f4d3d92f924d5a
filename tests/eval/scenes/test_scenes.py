"""Scenes: the same ones for the same seed, and every pixel of them accounted for."""

import hashlib

import numpy as np
import pytest

from gazeback.eval.scenes.drawing import REACH, SHAPES, SUBPIXELS, coverage, textured_ground
from gazeback.eval.scenes.scenes import COLOURS, MOST_OBJECTS, SIDE, SIZES, scene

SOME = [scene(5, index) for index in range(60)]


def test_the_same_numbers_give_the_same_scene_and_others_another():
    again = scene(5, 3)
    assert np.array_equal(again.pixels, SOME[3].pixels)
    assert again.things == SOME[3].things
    assert again.name == "scene-5-00003"
    digests = {hashlib.sha256(s.pixels.tobytes()).digest() for s in [*SOME, scene(6, 3), scene(3, 5)]}
    assert len(digests) == len(SOME) + 2


def test_two_to_four_things_no_two_of_one_colour_or_shape():
    counts = {len(s.things) for s in SOME}
    assert counts == set(range(2, MOST_OBJECTS + 1))
    for s in SOME:
        assert s.pixels.shape == (SIDE, SIDE, 3)
        assert s.pixels.dtype == np.uint8
        assert len({t.colour for t in s.things}) == len({t.shape for t in s.things}) == len(s.things)
        assert all(SIZES[t.size][0] <= t.radius <= SIZES[t.size][1] for t in s.things)
    assert {t.colour for s in SOME for t in s.things} == set(COLOURS)
    assert {t.shape for s in SOME for t in s.things} == set(SHAPES)


def test_no_thing_hides_another_or_leaves_the_picture():
    for s in SOME:
        assert s.masks.sum(axis=0).max() == 1
        edge = np.ones((SIDE, SIDE), bool)
        edge[1:-1, 1:-1] = False
        assert not (s.masks & edge).any()


@pytest.mark.parametrize("index", range(12))
def test_masks_are_the_pixels_that_a_thing_covers_by_half(index: int):
    """Every sample of every pixel, one after another, without the window around the thing."""
    s = SOME[index]
    for thing, mask in zip(s.things, s.masks, strict=True):
        rendered = literal_coverage(thing.shape, thing.row, thing.column, thing.radius, thing.angle)
        assert np.array_equal(mask, rendered >= 0.5)
        assert mask.sum() == pytest.approx(rendered.sum(), rel=0.06)


def literal_coverage(shape: str, row: float, column: float, radius: float, angle: float) -> np.ndarray:
    covered = np.zeros((SIDE, SIDE))
    steps = (np.arange(SUBPIXELS) + 0.5) / SUBPIXELS
    for down_step in steps:
        for right_step in steps:
            down = (np.arange(SIDE)[:, None] + down_step - row) / radius
            right = (np.arange(SIDE)[None, :] + right_step - column) / radius
            turned_down = down * np.cos(angle) - right * np.sin(angle)
            turned_right = right * np.cos(angle) + down * np.sin(angle)
            covered += SHAPES[shape](turned_down, turned_right)
    return covered / SUBPIXELS**2


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_stay_within_reach_and_lie_around_their_middle(shape: str):
    down, right = np.meshgrid(*[np.linspace(-2, 2, 801)] * 2, indexing="ij")
    inside = SHAPES[shape](down, right)
    assert np.hypot(down, right)[inside].max() <= REACH
    assert inside[400, 400]
    assert (inside != inside[:, ::-1]).mean() < 5e-3  # the edges of the grid
    assert 1.4 < inside.sum() * 0.005**2 < 2.8  # in squared radii: none much larger than another


def test_a_circle_covers_its_area_and_edges_are_smooth():
    covered = coverage("circle", 20.3, 30.7, 10.0, 0.4, 64)
    assert covered.sum() == pytest.approx(np.pi * 9.3**2, rel=0.01)
    assert np.isin([0.25, 0.5, 0.75], covered).all()
    rows, columns = np.indices(covered.shape) + 0.5
    assert (rows * covered).sum() / covered.sum() == pytest.approx(20.3, abs=0.05)
    assert (columns * covered).sum() / covered.sum() == pytest.approx(30.7, abs=0.05)


def test_angles_turn_clockwise():
    upright, turned = (coverage("triangle", 32, 32, 20, angle, 64) for angle in (0, np.pi / 2))
    np.testing.assert_allclose(np.rot90(upright, -1), turned, atol=0.02)


def test_things_have_their_colours_and_the_ground_is_textured():
    for s in SOME[:20]:
        for thing, mask in zip(s.things, s.masks, strict=True):
            inner = s.pixels[
                mask & (coverage(thing.shape, thing.row, thing.column, thing.radius, thing.angle, SIDE) == 1)
            ]
            distance = {name: np.abs(inner.mean(axis=0) - rgb).max() for name, rgb in COLOURS.items()}
            assert min(distance, key=distance.__getitem__) == thing.colour
    ground = textured_ground(np.random.default_rng(0), SIDE)
    assert ground.mean(axis=2).std() > 5
    assert np.ptp(ground.mean(axis=(0, 1))) < 30
