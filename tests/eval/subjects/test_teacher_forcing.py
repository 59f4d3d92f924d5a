from gazeback.eval.subjects.captioner import teacher_forced
from gazeback.models.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("<start>", "<end>", "<unknown>", "a", "dog"))


def test_inputs_are_the_words_one_step_late():
    assert teacher_forced(VOCABULARY, [[3, 4, 1], [4]]).tolist() == [[0, 3, 4], [0, 1, 1]]


def test_one_word_alone_follows_the_start():
    assert teacher_forced(VOCABULARY, [[4]]).tolist() == [[0]]
