"""The µ-Lasso: the projection against a literal twin, the minimum against cvxpy and by its own properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from twins.l1_ball import project as literal

from gazeback.eval.interpretation import lasso
from gazeback.models.errors import UserError

VALUES = st.floats(-100, 100, width=32)
POINTS = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=VALUES)
RADII = st.floats(0.01, 200)


def problem(seed: int, images: int = 30, features: int = 50, classes: int = 4):
    """Responses as they are: nowhere negative, each of two layers sums to 1."""
    rng = np.random.default_rng(seed)
    labels = np.eye(classes)[np.arange(images) % classes]
    layers = rng.random((2, images, features // 2)) ** 3
    layers[0, :, :classes] += labels
    layers /= layers.sum(axis=2, keepdims=True)
    return np.concatenate(layers, axis=1), labels


@given(POINTS, RADII)
def test_the_projection_is_that_of_the_paper(points, radius):
    found = lasso.project(points, radius)
    assert found == pytest.approx(np.array([literal(row, radius) for row in points]), abs=1e-9)


@given(POINTS, RADII)
def test_a_projection_lies_in_the_ball_and_projecting_it_again_changes_nothing(points, radius):
    found = lasso.project(points, radius)
    assert (np.abs(found).sum(axis=1) <= radius * (1 + 1e-9)).all()
    assert lasso.project(found, radius) == pytest.approx(found, abs=1e-9)


@given(POINTS, RADII, st.integers(0, 2**32 - 1))
def test_no_point_of_the_ball_is_nearer_than_the_projection(points, radius, seed):
    found = lasso.project(points, radius)
    other = np.random.default_rng(seed).normal(size=points.shape)
    other *= radius / np.abs(other).sum(axis=1, keepdims=True)
    near, far = (np.square(points - one).sum(axis=1) for one in (found, other))
    assert (near <= far + 1e-6).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mu", [0.5, 10.0])
def test_the_minimum_is_that_of_cvxpy(seed, mu):
    cvxpy = pytest.importorskip("cvxpy", reason="the solver to compare with comes with the extra `test`")
    responses, labels = problem(seed)
    found = lasso.solve(responses, labels, mu)
    weights = cvxpy.Variable((responses.shape[1], labels.shape[1]))
    error = cvxpy.sum_squares(responses @ weights - labels)
    constraints = [cvxpy.norm1(weights[:, j]) <= mu for j in range(labels.shape[1])]
    reference = cvxpy.Problem(cvxpy.Minimize(error), constraints)
    reference.solve(solver=cvxpy.CLARABEL)
    assert found.objective.sum() == pytest.approx(reference.value, abs=1e-4)
    assert (np.abs(found.weights).sum(axis=0) <= mu * (1 + 1e-9)).all()


def test_the_objective_is_that_of_the_weights_and_the_gap_is_closed():
    responses, labels = problem(0)
    found = lasso.solve(responses, labels, 10.0, tolerance=1e-8)
    assert found.objective == pytest.approx(np.square(responses @ found.weights - labels).sum(axis=0))
    assert (found.gap <= 1e-8 * labels.sum(axis=0)).all()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 30), st.floats(1.1, 5))
def test_a_larger_mu_never_fits_worse_and_no_class_gives_more_than_it(seed, mu, factor):
    responses, labels = problem(seed, 16, 20, 3)
    small, large = (lasso.solve(responses, labels, radius, 1e-4) for radius in (mu, mu * factor))
    assert (large.objective <= small.objective + small.gap.max() + large.gap.max()).all()
    assert (np.abs(small.weights).sum(axis=0) <= mu * (1 + 1e-9)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 20))
def test_on_its_face_of_the_ball_a_point_only_gets_better(seed, mu):
    rng = np.random.default_rng(seed)
    x, label = rng.random((12, 8)), rng.random(12)
    point = lasso.project(rng.normal(size=(1, 8)) * mu, mu)[0]
    found = lasso.on_face(x.T @ x, x.T @ label, point, mu)
    assert np.square(x @ found - label).sum() <= np.square(x @ point - label).sum() + 1e-9
    assert np.abs(found).sum() <= mu * (1 + 1e-8)
    assert (np.sign(found) * np.sign(point) >= 0).all()


def test_a_class_does_not_depend_on_the_others():
    responses, labels = problem(1)
    together = lasso.solve(responses, labels, 10.0).objective
    alone = [lasso.solve(responses, labels[:, [j]], 10.0).objective[0] for j in range(labels.shape[1])]
    assert together == pytest.approx(alone, abs=1e-4)


def test_more_images_than_fit_into_memory_at_once_are_read_in_parts(monkeypatch):
    responses, labels = problem(2)
    whole = lasso.solve(responses, labels, 10.0)
    monkeypatch.setattr(lasso, "ROWS", 7)
    in_parts = lasso.solve(responses.astype(np.float64), labels, 10.0)
    assert in_parts.weights == pytest.approx(whole.weights, abs=1e-3)
    assert in_parts.objective == pytest.approx(whole.objective, abs=1e-5)


def test_the_feature_that_tells_the_class_gets_the_weight():
    responses = np.repeat(np.eye(3), 4, axis=0)
    found = lasso.solve(responses, responses > 0, 0.5)
    assert found.weights == pytest.approx(0.5 * np.eye(3), abs=1e-6)


@pytest.mark.parametrize("mu", [0.0, -1.0, float("nan"), float("inf")])
def test_mu_must_be_positive(mu):
    with pytest.raises(UserError, match="mu must be a positive number, got"):
        lasso.solve(*problem(0), mu)


def test_fewer_images_than_classes_are_refused():
    with pytest.raises(
        UserError, match="3 images for 4 classes: expected at least as many images as classes"
    ):
        lasso.solve(np.ones((3, 5)), np.ones((3, 4)), 10.0)


def test_responses_must_be_finite_and_one_for_each_image():
    responses, labels = problem(0)
    responses[3, 2] = np.nan
    with pytest.raises(UserError, match="NaN or infinite"):
        lasso.solve(responses, labels, 10.0)
    with pytest.raises(ValueError, match="a row of responses for each of 30 images, got 29"):
        lasso.solve(responses[1:], labels, 10.0)
