"""The training objective, as compiled TensorFlow steps over the layers after a cached activation."""

import keras
import tensorflow as tf

_BATCH_SPEC = (
    tf.TensorSpec((None,), tf.int32),
    tf.TensorSpec((None, None), tf.int32),
    tf.TensorSpec((None, None), tf.int32),
    tf.TensorSpec((None, None), tf.float32),
)


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Mean cross-entropy per word in nats; ``smoothing`` is the fraction of the target spread uniformly over
    all words.

    Source of the smoothing: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, section 7.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    if smoothing:
        uniform = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        losses = (1 - smoothing) * losses + smoothing * uniform
    return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)


class Trainee:
    """The trained part of a captioner, in two parts: photo-wise (``photos``) and caption-wise (``captions``).

    ``photos`` maps a cached activation to all that the language half knows of the photo, and ``captions``
    maps this and the words to logits. Both are Keras models of the captioner's own layers.
    """

    def __init__(self, photos: keras.Model, captions: keras.Model) -> None:
        self.photos, self.captions = photos, captions
        self.variables = self._unique(lambda model: model.variables)
        self.trainable = self._unique(lambda model: model.trainable_variables)
        self._activations = tf.TensorSpec((None, *photos.inputs[0].shape[1:]), tf.float32)

    def _unique(self, variables_of) -> list[keras.Variable]:
        models = (self.photos, self.captions)
        return list({id(variable): variable for model in models for variable in variables_of(model)}.values())

    def logits(self, activations: tf.Tensor, rows: tf.Tensor, words: tf.Tensor, training: bool) -> tf.Tensor:
        """Next-word logits ``[captions, T, V]``, without the image step, which predicts nothing."""
        photos = self.photos(activations, training=training)
        of_captions = [tf.gather(of_photo, rows) for of_photo in keras.tree.flatten(photos)]
        return self.captions([*of_captions, words], training=training)[:, 1:]

    def training_step(self, optimizer: keras.optimizers.Optimizer, smoothing: float):
        """Return a compiled function of (activations, rows, words, targets, weights) that makes one training
        step and returns the loss.
        """
        optimizer.build(self.trainable)

        @tf.function(input_signature=(self._activations, *_BATCH_SPEC))
        def step(activations, rows, words, targets, weights):
            with tf.GradientTape() as tape:
                logits = self.logits(activations, rows, words, training=True)
                loss = cross_entropy(logits, targets, weights, smoothing)
            gradients = tape.gradient(loss, [variable.value for variable in self.trainable])
            optimizer.apply(gradients, self.trainable)
            return loss

        return step

    def dev_step(self):
        """Return a compiled function of the same arguments: (summed cross-entropy in nats, number of
        words).
        """

        @tf.function(input_signature=(self._activations, *_BATCH_SPEC))
        def step(activations, rows, words, targets, weights):
            logits = self.logits(activations, rows, words, training=False)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            return tf.reduce_sum(losses * weights), tf.reduce_sum(weights)

        return step
