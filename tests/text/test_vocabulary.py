"""What a file may say about its tokens, and what it may not."""

import numpy as np
import pytest
from support.vocabularies import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    metadata,
    spm_metadata,
)

from localmix.errors import InvalidGGUF, UnsupportedModel
from localmix.gguf import GGUFFile
from localmix.text.tokenizer import Tokenizer

ROWS = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("▁", 0.0, NORMAL)]


def read(*extra, **keys):
    return Tokenizer.from_metadata(spm_metadata([*ROWS, *extra], **keys))


def test_defaults_of_a_sentencepiece_vocabulary():
    tokenizer = read()
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    assert tokenizer.n_vocab == 4
    assert tokenizer.end_ids == {2}
    assert tokenizer.add_bos
    assert not tokenizer.vocabulary.add_eos
    assert tokenizer.vocabulary.add_space_prefix
    assert tokenizer.vocabulary.pad_id is None


def test_defaults_of_a_byte_level_vocabulary():
    tokenizer = Tokenizer.from_metadata(metadata("gpt2", ["a", "b"], merges=[]))
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (None, None, None)
    assert tokenizer.end_ids == frozenset()
    assert not tokenizer.add_bos
    assert not tokenizer.vocabulary.add_space_prefix


def test_keys_of_the_file_win_over_defaults():
    tokenizer = read(
        ("x", 0.0, CONTROL),
        bos_token_id=3,
        eos_token_id=4,
        unknown_token_id=1,
        padding_token_id=0,
        eot_token_id=2,
        add_bos_token=False,
        add_eos_token=True,
        add_space_prefix=False,
    )
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (1, 3, 4)
    assert tokenizer.vocabulary.pad_id == 0
    assert tokenizer.end_ids == {2, 4}
    assert not tokenizer.add_bos
    assert tokenizer.vocabulary.add_eos
    assert not tokenizer.vocabulary.add_space_prefix


def test_well_known_end_pieces_end_an_answer_whatever_their_type():
    kinds = (("<|im_end|>", CONTROL), ("<end_of_turn>", USER_DEFINED), ("<|eot_id|>", NORMAL))
    tokenizer = read(*((piece, 0.0, type_) for piece, type_ in kinds), ("<|x|>", 0.0, CONTROL))
    assert tokenizer.end_ids == {2, 4, 5, 6}
    assert all(tokenizer.is_control(i) for i in (4, 5, 6))


def test_the_end_of_a_harmony_message_does_not_end_the_answer():
    names = ["<|end|>", "<|return|>", "<|call|>"]
    assert read(*((name, 0.0, CONTROL) for name in names)).end_ids == {2, 5, 6}
    assert read(("<|end|>", 0.0, CONTROL)).end_ids == {2, 4}


def test_an_old_end_piece_counts_only_as_control():
    pieces, merges = ["</s>", "a"], []
    typed = metadata("gpt2", pieces, merges=merges, token_type=[CONTROL, NORMAL])
    assert Tokenizer.from_metadata(typed).end_ids == {0}
    typed = metadata("gpt2", pieces, merges=merges, token_type=[NORMAL, NORMAL])
    assert Tokenizer.from_metadata(typed).end_ids == frozenset()


def test_an_answer_may_end_with_ordinary_text():
    tokenizer = read(("\n", 0.0, NORMAL), eos_token_id=4)
    assert tokenizer.end_ids == {2, 4}  # "</s>" is still there, as a control token
    assert not tokenizer.is_control(4)
    assert tokenizer.decode([4]) == "\n"


def test_types_are_guessed_when_the_file_has_none():
    pieces = ["<unk>", "<s>", "</s>", "<0x41>", "▁", "<0xZZ>"]
    tokenizer = Tokenizer.from_metadata(metadata("llama", pieces, scores=[0.0] * 6))
    assert list(tokenizer.vocabulary.types) == [UNKNOWN, CONTROL, CONTROL, BYTE, NORMAL, NORMAL]


def test_types_that_nobody_defined_are_ordinary():
    keys = {"scores": [0.0] * 3, "token_type": [0, 7, -1], "unknown_token_id": 0}
    keys |= {"bos_token_id": 0, "eos_token_id": 0}
    tokenizer = Tokenizer.from_metadata(metadata("llama", ["a", "b", "c"], **keys))
    assert list(tokenizer.vocabulary.types) == [NORMAL] * 3


@pytest.mark.parametrize("missing", ["model", "tokens", "scores"])
def test_a_sentencepiece_vocabulary_needs_its_keys(missing):
    keys = spm_metadata(ROWS)
    del keys[f"tokenizer.ggml.{missing}"]
    with pytest.raises(InvalidGGUF, match=missing):
        Tokenizer.from_metadata(keys)


def test_a_byte_level_vocabulary_needs_merges():
    with pytest.raises(InvalidGGUF, match="merges"):
        Tokenizer.from_metadata(metadata("gpt2", ["a"]))


@pytest.mark.parametrize("name", ["scores", "token_type"])
@pytest.mark.parametrize("array", [[0] * 3, [0] * 5, [], [[0] * 4], ["a"] * 4, [None] * 4])
def test_arrays_hold_one_number_for_each_token(name, array):
    keys = spm_metadata(ROWS) | {f"tokenizer.ggml.{name}": np.array(array)}
    with pytest.raises(InvalidGGUF, match=f"{name} should hold 4 numbers") as error:
        Tokenizer.from_metadata(type(spm_metadata(ROWS))(keys))
    assert error.value.hint


def test_scores_are_numbers():
    with pytest.raises(InvalidGGUF, match="not numbers"):
        read(("a", float("nan"), NORMAL))


def test_a_vocabulary_has_tokens():
    with pytest.raises(InvalidGGUF, match="no tokens"):
        Tokenizer.from_metadata(metadata("llama", [], scores=[], token_type=[]))


@pytest.mark.parametrize("name", ["bos", "eos", "unknown", "eot", "eom"])
@pytest.mark.parametrize("token", [-1, 4, 2**32 - 1])
def test_special_ids_name_a_token(name, token):
    with pytest.raises(InvalidGGUF, match=f"{name} token is {token}") as error:
        read(**{f"{name}_token_id": token})
    assert error.value.hint


def test_a_padding_id_that_names_no_token_does_not_matter():
    assert read(padding_token_id=-1).vocabulary.pad_id is None


@pytest.mark.parametrize("model", ["bert", "t5", "rwkv", "", "Llama"])
def test_other_kinds_of_tokenizers_are_named_with_those_that_work(model):
    with pytest.raises(UnsupportedModel, match=repr(model)) as error:
        Tokenizer.from_metadata(metadata(model, ["a"]))
    assert "'llama'" in error.value.hint
    assert "'gpt2'" in error.value.hint


def test_a_written_file_is_read_back(tmp_path):
    from gguf import GGUFWriter

    rows = [*ROWS, ("▁a", -1.5, NORMAL), ("a", -2.0, NORMAL), ("<|im_end|>", 0.0, CONTROL)]
    pieces, scores, types = zip(*rows, strict=True)
    writer = GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_eos_token_id(6)
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(tmp_path / "vocabulary.gguf") as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)
    assert list(tokenizer.vocabulary.pieces) == list(pieces)
    assert tokenizer.vocabulary.scores.tolist() == list(scores)
    assert tokenizer.encode("a<|im_end|>", parse_special=True) == [4, 6]
    assert tokenizer.end_ids == {2, 6}
    assert (tokenizer.eos_id, tokenizer.add_bos) == (6, False)
