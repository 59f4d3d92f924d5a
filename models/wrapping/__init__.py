"""Captioners of other people: from their encoder, decoder and tokenizer to what ``ground`` explains."""
