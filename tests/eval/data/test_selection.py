from gazeback.eval.data.selection import TUNE_SHARE, part_of, select

NAMES = [f"{i}_photo.jpg" for i in range(2000)]


def test_the_order_depends_on_the_names_alone():
    assert select(NAMES, NAMES) == select(NAMES[::-1], NAMES[::-1])
    assert sorted(select(NAMES, NAMES)) == sorted(NAMES)
    assert select(NAMES, NAMES) != NAMES


def test_a_limit_takes_the_first():
    assert select(NAMES, NAMES, limit=7) == select(NAMES, NAMES)[:7]


def test_the_parts_are_disjoint_and_complete_and_of_the_stated_size():
    tune, report = select(NAMES, NAMES, "tune"), select(NAMES, NAMES, "report")
    assert sorted(tune + report) == sorted(NAMES)
    assert abs(len(tune) / len(NAMES) - TUNE_SHARE) < 0.03
    assert all(part_of(name) == "tune" for name in tune)


def test_any_limit_takes_from_both_parts():
    first = select(NAMES, NAMES, limit=300)
    assert 60 < sum(part_of(name) == "tune" for name in first) < 120


def test_the_split_is_for_good():
    tune = [i for i in range(12) if part_of(f"{i}.jpg") == "tune"]
    assert tune == [0, 6, 10]
