"""Train a captioner with attention on drawn scenes, wrap it as it is, and ground its words. About a minute.

The decoder is the one of TensorFlow's older tutorial (Xu et al. 2015, with Bahdanau's attention): it is
called word by word with a state, and looks at the places of the last map. The attention weights that such
tutorials plot stand beside the evidence on the page.
"""

import tempfile

import keras
import numpy as np
from keras import layers, ops

from gazeback.eval.scenes.scenes import scene
from gazeback.grounding import ground
from gazeback.models import load_captioner, wrap_captioner

keras.utils.set_random_seed(0)
UNITS = 128

# The author's data: pictures, and a sentence about each.
drawn = [scene(1, index) for index in range(1000)]
pixels = np.stack([one.pixels for one in drawn]).astype("float32")
sentences = [
    "<start> " + " and ".join(f"a {thing.colour} {thing.shape}" for thing in one.things[:2]) + " <end>"
    for one in drawn
]
tokenizer = layers.TextVectorization(standardize=None)
tokenizer.adapt(sentences)
numbers = np.asarray(tokenizer(sentences))
vocabulary = len(tokenizer.get_vocabulary())

# The author's network: a convolutional network that was trained before, and a decoder.
trained = load_captioner("scenes-gap")
cnn = keras.Model(trained.model.inputs[0], trained.model.get_layer(trained.features_layer).output, name="cnn")
maps = cnn.predict(pixels, verbose=0)


class Decoder(keras.Model):
    """One word at a time: attention over the places of the map, then a GRU."""

    def __init__(self):
        super().__init__()
        self.of_places, self.of_state, self.score = layers.Dense(UNITS), layers.Dense(UNITS), layers.Dense(1)
        self.embedding, self.gru = layers.Embedding(vocabulary, 64), layers.GRUCell(UNITS)
        self.places, self.words = layers.Dense(UNITS, activation="relu"), layers.Dense(vocabulary)

    def call(self, word, features, state):
        places = self.places(ops.reshape(features, (-1, maps.shape[1] * maps.shape[2], maps.shape[3])))
        score = self.score(ops.tanh(self.of_places(places) + ops.expand_dims(self.of_state(state), 1)))
        context = ops.sum(ops.softmax(score, axis=1) * places, axis=1)
        output, state = self.gru(ops.concatenate([context, self.embedding(word)], axis=-1), [state])
        return self.words(ops.concatenate([output, context], axis=-1)), state[0]

    def reset_state(self, batch_size):
        return ops.zeros((batch_size, UNITS))


class Training(keras.Model):
    """The decoder over whole sentences: each word predicts the next."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def call(self, inputs):
        features, words = inputs
        state, scores = ops.zeros_like(features[:, 0, 0, :1]) * ops.ones((1, UNITS)), []
        for step in range(numbers.shape[1] - 1):
            found, state = self.decoder(words[:, step], features, state)
            scores.append(found)
        return ops.stack(scores, axis=1)


decoder = Decoder()
training = Training(decoder)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
training.compile(keras.optimizers.Adam(3e-3), loss)
training.fit([maps, numbers[:, :-1]], numbers[:, 1:], batch_size=64, epochs=12, verbose=0)

# What gazeback needs: the parts as they are, the tokenizer, and photos for the average picture.
mine = wrap_captioner(
    encoder=cnn, step=decoder, tokenizer=tokenizer, start="<start>", end="<end>", mean=pixels[:200]
)  # fmt: skip

fresh = scene(2, 0)
grounding = ground(mine, fresh.pixels, methods=["evidence", "attention"])
print(grounding.caption, "| drawn:", ", ".join(f"{one.colour} {one.shape}" for one in fresh.things))
for word in grounding.words:
    place = np.unravel_index(word.fixations.heatmap().argmax(), fresh.masks.shape[1:])
    there = [one for one, mask in zip(fresh.things, fresh.masks, strict=True) if mask[place]]
    named = f"{there[0].colour} {there[0].shape}" if there else "the ground"
    print(f"{word.text:>10}  visual share {word.visual_share:4.0%}  strongest on: {named}")
print("page:", grounding.save(tempfile.mkdtemp())["html"])
