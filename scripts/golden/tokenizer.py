"""A byte-level BPE tokenizer of any small size: the printable ASCII bytes, then merges of pairs until the vocabulary is full."""

from itertools import product

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

END, BEGIN, PAD = "<|endoftext|>", "<|begin|>", "<|pad|>"
EOS_ID, BOS_ID, PAD_ID = 0, 1, 2
# GPT-2's visible stand-ins for the bytes 10 (newline) and 32 (space).
BYTES = ["\u010a", "\u0120", *(chr(code) for code in range(33, 127))]
SMALLEST = 3 + len(BYTES)


def build(vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of exactly `vocab_size` entries, every id from 0 up in use."""
    assert vocab_size >= SMALLEST, f"vocab_size {vocab_size} < {SMALLEST}"
    vocab = {token: id for id, token in enumerate([END, BEGIN, PAD, *BYTES])}
    merges = []
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    pairs = [*product(letters, letters), *product("0123456789", repeat=2), *product(letters, letters.upper()),
             *product(letters.upper(), letters)]
    for first, second in pairs:
        if len(vocab) == vocab_size:
            break
        vocab[first + second] = len(vocab)
        merges.append((first, second))
    assert len(vocab) == vocab_size, f"too few pairs for vocab_size {vocab_size}"

    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (END, BEGIN, PAD)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, bos_token=BEGIN, pad_token=PAD,
                                   padding_side="left", clean_up_tokenization_spaces=False)
