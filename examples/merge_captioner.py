"""Train a merge captioner on drawn scenes, wrap it as it is, and ground its words. Under a minute.

The captioner is the one of many tutorials: features of a network that was trained before, an LSTM that reads
the words, both added, a softmax over the next word (Tanti et al. 2017). Its words are padded before.
"""

import tempfile

import keras
import numpy as np
from keras import layers

from gazeback.eval.scenes.scenes import scene
from gazeback.grounding import ground
from gazeback.models import load_captioner, wrap_captioner

keras.utils.set_random_seed(0)
LENGTH, UNITS = 9, 128

# The author's data: pictures, and a sentence about each.
drawn = [scene(1, index) for index in range(1000)]
pixels = np.stack([one.pixels for one in drawn]).astype("float32")
sentences = [
    "startseq " + " and ".join(f"a {thing.colour} {thing.shape}" for thing in one.things[:2]) + " endseq"
    for one in drawn
]
words = sorted({word for sentence in sentences for word in sentence.split()})
word_index = {word: number for number, word in enumerate(words, start=1)}

# The author's network: a convolutional network that was trained before, and a decoder.
trained = load_captioner("scenes-gap")
maps = trained.model.get_layer(trained.features_layer).output
cnn = keras.Model(trained.model.inputs[0], layers.GlobalAveragePooling2D()(maps), name="cnn")
features = cnn.predict(pixels, verbose=0)

photo, text = keras.Input((features.shape[-1],)), keras.Input((LENGTH,))
of_photo = layers.Dense(UNITS, activation="relu")(layers.Dropout(0.1)(photo))
of_words = layers.LSTM(UNITS)(layers.Embedding(len(words) + 1, 64, mask_zero=True)(text))
both = layers.Dense(UNITS, activation="relu")(layers.add([of_photo, of_words]))
decoder = keras.Model([photo, text], layers.Dense(len(words) + 1, activation="softmax")(both))

# The author's training: every beginning of a sentence predicts its next word.
numbers = [[word_index[word] for word in sentence.split()] for sentence in sentences]
pairs = [(i, row[:end], row[end]) for i, row in enumerate(numbers) for end in range(1, len(row))]
rows = keras.utils.pad_sequences([before for _, before, _ in pairs], maxlen=LENGTH)
seen, following = features[[i for i, _, _ in pairs]], np.array([after for _, _, after in pairs])
decoder.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
decoder.fit([seen, rows], following, batch_size=128, epochs=15, verbose=0)

# What gazeback needs: the parts as they are, the tokenizer, and photos for the average picture.
mine = wrap_captioner(
    encoder=cnn, decoder=decoder, tokenizer=word_index, start="startseq", end="endseq", mean=pixels[:200]
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
