"""Hold the native executor against the reference on `tiny`: a story, and the logits of all of it.

Native kernels round activations to bytes and the reference does not, so the two part ways at a
token that was a near thing. What is compared is how far their predictions are from each other: the
mean Kullback-Leibler divergence, which is about the same on every CPU and large when something is
computed wrongly.
"""

import sys

import numpy as np

import localmix

PROMPT = [{"role": "user", "content": "Tell me a story about a fox"}]
MOST_MEAN_KL, MOST_KL = 3e-5, 1e-3
"""In nats; 1.1e-5 and 1.8e-4 on x86, on any tier."""


def log_softmax(logits):
    """Logarithms of probabilities, (T, V) float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


with localmix.load("tiny", executor="native") as native:
    story = list(native.chat(PROMPT, seed=2, max_tokens=200))
    ids = native.render_chat(PROMPT) + [piece.token for piece in story]
    ours = log_softmax(native.logits(ids))
print("".join(piece.text for piece in story))
with localmix.load("tiny", executor="reference") as reference:
    theirs = log_softmax(reference.logits(ids))
kl = (np.exp(theirs) * (theirs - ours)).sum(axis=1)
agree = np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1))
print(f"{len(ids)} tokens: KL mean {kl.mean():.2e}, largest {kl.max():.2e}, same first {agree:.1%}")
if kl.mean() > MOST_MEAN_KL or kl.max() > MOST_KL:
    sys.exit("native and reference differ by more than the rounding of activations")
