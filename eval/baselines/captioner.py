"""Grad-CAM for captioners, the compared method that needs gradients (TensorFlow only)."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from gazeback.models.captioner import Captioner


class GradCam:
    """Grad-CAM at a captioner's last map (Selvaraju et al., ICCV 2017, equations 1 and 2).

    The score of a word is its logit at its time step, before the softmax. The gradient goes through the
    language half alone, which starts from the last map, so a sentence costs one batched pass of it and no
    pass of the encoder.
    """

    def __init__(self, captioner: Captioner) -> None:
        model = captioner.model
        last_map = model.get_layer(captioner.features_layer).output
        # keras.Model would rewire the captioner's own input layers; a Function leaves them alone
        self._language = keras.Function([last_map, model.inputs[1]], model.output)
        self._start = captioner.vocabulary.start
        self._gradients = tf.function(
            self._gradients_of_logits,
            input_signature=[
                tf.TensorSpec(last_map.shape, tf.float32),
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((None,), tf.int32),
            ],
        )

    def __call__(self, features: np.ndarray, word_ids: Sequence[int], positions: Sequence[int]) -> np.ndarray:
        """Maps of the words at some positions of a caption.

        `features` float32 [h, w, C] is the photo's last map, `word_ids` the caption without start and end,
        and `positions` count its words from 0. Returns float32 [n, h, w], nowhere negative, at the map's
        resolution.
        """
        n = len(positions)
        repeated = np.repeat(features[None], n, axis=0)
        words = np.repeat(np.array([[self._start, *word_ids]], np.int32), n, axis=0)
        gradients = np.asarray(self._gradients(repeated, words, np.array(positions, np.int32)))
        alpha = gradients.mean(axis=(1, 2))  # equation 1
        return np.maximum(np.einsum("nc,hwc->nhw", alpha, features), 0)  # equation 2

    def _gradients_of_logits(self, features: tf.Tensor, words: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = self._language([features, words])
            # step 0 is the photo's and step 1 the start token's, which predicts the word at position 0
            steps = positions + 1
            rows = tf.range(tf.shape(positions)[0])
            asked = tf.gather_nd(words, tf.stack([rows, steps], axis=1))
            scores = tf.gather_nd(logits, tf.stack([rows, steps, asked], axis=1))
        # a word's score reads its own copy of the map, so the gradient of the scores' sum is every word's own
        return tape.gradient(scores, features)
