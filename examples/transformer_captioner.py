"""Train a Transformer captioner on drawn scenes, wrap it as it is, and ground its words. About a minute.

The blocks are those of Keras' example of image captioning: one encodes the places of the last map, the other
reads the words with causal attention and looks at the places with cross-attention.
"""

import tempfile

import keras
import numpy as np
from keras import layers, ops

from gazeback.eval.scenes.scenes import scene
from gazeback.grounding import ground
from gazeback.models import load_captioner, wrap_captioner

keras.utils.set_random_seed(0)
WIDTH, HEADS = 64, 2

# The author's data: pictures, and a sentence about each.
drawn = [scene(1, index) for index in range(1000)]
pixels = np.stack([one.pixels for one in drawn]).astype("float32")
sentences = [
    "start " + " and ".join(f"a {thing.colour} {thing.shape}" for thing in one.things[:2]) + " end"
    for one in drawn
]
tokenizer = layers.TextVectorization()
tokenizer.adapt(sentences)
numbers = np.asarray(tokenizer(sentences))
vocabulary, length = len(tokenizer.get_vocabulary()), numbers.shape[1]

# The author's network: a convolutional network that was trained before, and two blocks.
trained = load_captioner("scenes-gap")
cnn = keras.Model(trained.model.inputs[0], trained.model.get_layer(trained.features_layer).output, name="cnn")
maps = cnn.predict(pixels, verbose=0)


class EncoderBlock(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(WIDTH, activation="relu")
        self.attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
        self.before, self.after = layers.LayerNormalization(), layers.LayerNormalization()

    def call(self, features):
        places = ops.reshape(features, (-1, maps.shape[1] * maps.shape[2], maps.shape[3]))
        x = self.dense(self.before(places))
        return self.after(x + self.attention(query=x, value=x, key=x))


class DecoderBlock(layers.Layer):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = layers.Embedding(vocabulary, WIDTH), layers.Embedding(length, WIDTH)
        self.of_words = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
        self.of_places = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
        self.wide, self.narrow = layers.Dense(2 * WIDTH, activation="relu"), layers.Dense(WIDTH)
        self.norms = [layers.LayerNormalization() for _ in range(3)]
        self.out = layers.Dense(vocabulary, activation="softmax")

    def call(self, words, encoded):
        x = self.tokens(words) + self.positions(ops.arange(ops.shape(words)[1]))
        x = self.norms[0](x + self.of_words(query=x, value=x, key=x, use_causal_mask=True))
        x = self.norms[1](x + self.of_places(query=x, value=encoded, key=encoded))
        return self.out(self.norms[2](x + self.narrow(self.wide(x))))


class Captioner(keras.Model):
    """The two blocks, trained on maps."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = EncoderBlock(), DecoderBlock()

    def call(self, inputs):
        features, words = inputs
        return self.decoder(words, self.encoder(features))


captioner = Captioner()
captioner.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
captioner.fit([maps, numbers[:, :-1]], numbers[:, 1:], batch_size=64, epochs=15, verbose=0)

# What gazeback needs: the parts as they are, the tokenizer, and photos for the average picture.
mine = wrap_captioner(
    encoder=cnn, decoder=captioner, tokenizer=tokenizer, start="start", end="end", length=length - 1,
    mean=pixels[:200],
)  # fmt: skip

fresh = scene(2, 0)
grounding = ground(mine, fresh.pixels)
print(grounding.caption, "| drawn:", ", ".join(f"{one.colour} {one.shape}" for one in fresh.things))
for word in grounding.words:
    place = np.unravel_index(word.fixations.heatmap().argmax(), fresh.masks.shape[1:])
    there = [one for one, mask in zip(fresh.things, fresh.masks, strict=True) if mask[place]]
    named = f"{there[0].colour} {there[0].shape}" if there else "the ground"
    print(f"{word.text:>10}  visual share {word.visual_share:4.0%}  strongest on: {named}")
print("page:", grounding.save(tempfile.mkdtemp())["html"])
