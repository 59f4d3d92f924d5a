"""BLEU and CIDEr of generated captions, by the COCO evaluation code's scorers with this package's tokeniser.

The published tool tokenises with a Java program; here candidates and references pass through
``vocabulary.tokenize``. Sources: Papineni et al., *BLEU*, ACL 2002; Vedantam et al., *CIDEr*, CVPR 2015
(CIDEr-D, as in COCO's server).
"""

import contextlib
import io
from collections.abc import Sequence
from importlib.util import find_spec

from gazeback.models.errors import UserError
from gazeback.models.vocabulary import tokenize

_UNAVAILABLE = "scoring captions needs the COCO scorers: pip install pycocoevalcap==1.2"


def caption_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Score one candidate per photo against that photo's references.

    Returns ``bleu_1`` to ``bleu_4``, ``cider`` (1.0 is printed as 100 in COCO's tables), and the numbers
    ``distinct_captions`` and ``distinct_words`` of the candidates. Raises UserError if the scorers are not
    installed.
    """
    if len(candidates) != len(references) or not candidates:
        raise ValueError(
            f"expected as many candidates as reference lists; got {len(candidates)}, {len(references)}"
        )
    check_scorers()
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    generated = {photo: [" ".join(tokenize(caption))] for photo, caption in enumerate(candidates)}
    truth = {photo: [" ".join(tokenize(text)) for text in texts] for photo, texts in enumerate(references)}
    with contextlib.redirect_stdout(io.StringIO()):  # the scorer prints its counts
        bleu, _ = Bleu(4).compute_score(truth, generated, verbose=0)
        cider, _ = Cider().compute_score(truth, generated)
    scores = {f"bleu_{n}": float(score) for n, score in enumerate(bleu, 1)}
    words = {word for captions in generated.values() for word in captions[0].split()}
    distinct = {captions[0] for captions in generated.values()}
    return scores | {
        "cider": float(cider),
        "distinct_captions": float(len(distinct)),
        "distinct_words": float(len(words)),
    }


def check_scorers() -> None:
    """Raise UserError, which says what to install, if the COCO scorers are missing."""
    if find_spec("pycocoevalcap") is None:
        raise UserError(_UNAVAILABLE)
