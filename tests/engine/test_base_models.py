"""A base model: nothing in its file speaks of a chat."""

import gguf
import pytest
from support import models
from support.models import PIECES, TYPES, write_model

import localmix

STRING = gguf.GGUFValueType.STRING


@pytest.fixture
def is_base(tmp_path):
    def ask(*keys):
        path = write_model(tmp_path / "m.gguf", keys=[(*pair, STRING) for pair in keys])
        with localmix.load(path, executor="reference") as model:
            return model.is_base

    return ask


@pytest.mark.parametrize(
    "name", ["mistral-7B-v0.1", "Mixtral 8x7B", "stories15M", "Llama-3-8B", "summit", "", "italia"]
)
def test_a_file_without_template_marker_or_such_a_name_is_one(is_base, name):
    assert is_base()
    assert is_base(("general.name", name))


def test_a_template_is_none_of_a_base_model_unless_it_is_blank(is_base):
    assert not is_base(("tokenizer.chat_template", "{{ messages }}"))
    assert not is_base(("tokenizer.chat_template.tool_use", "{{ messages }}"))
    assert is_base(("tokenizer.chat_template", " \n"))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("name", "mistralai_mistral-7b-instruct-v0.1"),
        ("name", "Llama-2-7B-Chat"),
        ("name", "LLaMA v2"),
        ("name", "OpenHermes 2.5"),
        ("name", "gemma 2b it"),
        ("basename", "Mistral-Instruct"),
        ("finetune", "Instruct"),
    ],
)
def test_a_name_that_speaks_of_a_chat_is_none_of_a_base_model(is_base, key, name):
    assert not is_base((f"general.{key}", name))


@pytest.mark.parametrize("piece", ["<|im_start|>", "[INST]"])
def test_a_marker_of_chats_among_control_tokens_is_none_of_a_base_model(
    is_base, monkeypatch, piece
):
    place = PIECES.index("▁two")
    monkeypatch.setattr(models, "PIECES", [*PIECES[:place], piece, *PIECES[place + 1 :]])
    monkeypatch.setattr(models, "TYPES", [*TYPES[:place], 3, *TYPES[place + 1 :]])
    assert not is_base()
