"""Which chat format a file has, and what its own template makes of messages."""

import random
import time
from datetime import datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vocabularies import (
    CONTROL,
    NORMAL,
    USER_DEFINED,
    FakeMetadata,
    letters_of,
    metadata,
    mistral_rows,
    mistral_tokenizer,
    spm_metadata,
)

from localmix.errors import InvalidGGUF, TemplateError
from localmix.text.chat import SAFE_PROMPT, ChatFormat
from localmix.text.tokenizer import Tokenizer

NOON = datetime(2024, 7, 25, 12)

# Templates in the shapes that files have, in our own words.
ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user and assistant') }}{% endif %}{% endfor %}"
)
OLD_MISTRAL = (
    "{{ bos_token }}"
    + ALTERNATE
    + "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_V1 = (
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set s = '' %}{% set rest = messages %}{% endif %}"
    "{{ bos_token }}{% for m in rest %}{% if m.role == 'user' %}"
    "{{ ' [INST] ' + (s if loop.first else '') + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_V3 = (
    MISTRAL_V1.replace("' [INST] '", "'[INST] '")
    .replace("' [/INST]'", "'[/INST]'")
    .replace("loop.first", "loop.last")
)
MISTRAL_V7 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]"
    "{% elif m.role == 'system' %}[SYSTEM_PROMPT] {{ m.content }}[/SYSTEM_PROMPT]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}"
    "{% set s = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set s = '' %}{% set rest = messages %}"
    "{% endif %}{% for m in rest %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + "
    "((s if loop.first else '') + m.content) | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim + "
    "'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for m in messages %}<|role|>{{ m.role }}<|/role|>\n\n"
    "{{ m.content | trim }}<|end|>{% endfor %}<|role|>assistant<|/role|>\n\n"
)
SILENT = (
    "{{ bos_token }}{% for m in messages %}{% if m.role != 'system' %}"
    "<|im_start|>{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
)
WITH_TOOLS = (
    "{{ bos_token }}{% if tools %}<|role|>tools{{ tools | tojson }}<|end|>{% endif %}"
    "{% for m in messages %}<|role|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}"
    "<|call|>{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}<|end|>"
    "{% endfor %}<|role|>assistant\n"
)
MARKERS = ["<|im_start|>", "<|im_end|>", "<|role|>", "<|/role|>", "<|end|>", "<|call|>"]

HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello"}
BYE = {"role": "user", "content": "Bye"}
KIND = {"role": "system", "content": "Be kind"}
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}


@cache
def marked_keys():
    """Mistral's first vocabulary with markers of other models at its end, of both types."""
    kinds = [CONTROL if i % 2 else USER_DEFINED for i in range(len(MARKERS))]
    rows = [(marker, 0.0, kind) for marker, kind in zip(MARKERS, kinds, strict=True)]
    return spm_metadata(mistral_rows("v1") + rows)


@cache
def marked_tokenizer():
    return Tokenizer.from_metadata(marked_keys())


@cache
def bpe_keys():
    """Bytes, and the same markers; no begin token is wanted."""
    pieces = [*(letters_of(bytes([byte])) for byte in range(256)), "<s>", "</s>", *MARKERS]
    types = [NORMAL] * 256 + [CONTROL] * (len(pieces) - 256)
    ids = {"bos_token_id": 256, "eos_token_id": 257}
    more = {"merges": [], "pre": "default", "add_bos_token": False}
    return metadata("gpt2", pieces, token_type=types, **ids, **more)


@cache
def bpe_tokenizer():
    return Tokenizer.from_metadata(bpe_keys())


@cache
def mistral_keys(version):
    return spm_metadata(mistral_rows(version))


def chat(keys, tokenizer, template=None, **more):
    named = {key.replace("__", "."): value for key, value in more.items()}
    if template is not None:
        named["tokenizer.chat_template"] = template
    made = FakeMetadata({**keys, **named})
    return ChatFormat.from_metadata(made, tokenizer, clock=lambda: NOON)


def spm_chat(template=None, **more):
    return chat(mistral_keys("v1"), mistral_tokenizer("v1"), template, **more)


def marked_chat(template=None, **more):
    return chat(marked_keys(), marked_tokenizer(), template, **more)


def bpe_chat(template=None, **more):
    return chat(bpe_keys(), bpe_tokenizer(), template, **more)


def version_chat(version, template=None):
    return chat(mistral_keys(version), mistral_tokenizer(version), template)


# Which format a file has.


@pytest.mark.parametrize("template", [OLD_MISTRAL, MISTRAL_V1, MISTRAL_V3])
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_template_that_behaves_like_mistrals_is_mistrals(version, template):
    """The spelling differs in spaces; the vocabulary tells which of the formats it is."""
    found = version_chat(version, template)
    assert found.name == f"mistral-{version}"
    assert found.render([HI, HELLO, BYE]) == version_chat(version).render([HI, HELLO, BYE])
    assert found.render([KIND, HI]) == version_chat(version).render([KIND, HI])


def test_a_template_that_separates_the_system_text_is_v7():
    assert version_chat("v7", MISTRAL_V7).name == "mistral-v7"
    assert version_chat("v7", MISTRAL_V3).name == "mistral-v3"
    assert version_chat("v3", MISTRAL_V7).name == "template"  # [SYSTEM_PROMPT] is no token there


def test_the_system_text_stands_where_the_template_puts_it():
    messages = [KIND, HI, HELLO, BYE]
    decode = mistral_tokenizer("v3").decode
    first, last = (
        decode(version_chat("v3", template).render(messages)).replace("\n", "")
        for template in (MISTRAL_V1, MISTRAL_V3)
    )
    assert first.index("Be kind") < first.index("Hi")
    assert last.index("Be kind") > last.index("Hi")
    assert version_chat("v3", MISTRAL_V3).render(messages) == version_chat("v3").render(messages)


@pytest.mark.parametrize("template", [LLAMA_2, CHATML, HEADERS])
def test_any_other_template_is_used_as_it_is(template):
    assert marked_chat(template).name == "template"


def test_without_a_template_the_vocabulary_tells_the_format():
    assert spm_chat().name == "mistral-v1"
    assert marked_chat(None).name == "chatml"
    assert bpe_chat().name == "chatml"


@pytest.mark.parametrize(
    "name", ["LLaMA v2", "llama-2-7b-chat", "meta-llama_Llama-2-13b", "llama2"]
)
def test_without_a_template_llama_2_is_told_by_its_name(name):
    assert spm_chat(general__name=name).name == "llama-2"
    assert spm_chat(general__basename=name).name == "llama-2"


def test_other_names_are_not_llama_2():
    assert spm_chat(general__name="mistral-7b-v0.2").name == "mistral-v1"
    assert spm_chat(general__name="tinyllama-20b").name == "mistral-v1"


def test_a_byte_level_vocabulary_without_any_hint_asks_for_raw():
    keys = metadata("gpt2", ["a", "b"], merges=[], pre="default")
    with pytest.raises(TemplateError, match="no chat template") as caught:
        ChatFormat.from_metadata(keys, Tokenizer.from_metadata(keys))
    assert "--raw" in caught.value.hint


def test_a_template_that_is_no_text_is_a_damaged_file():
    class Typed(FakeMetadata):
        def text(self, key, *default):
            if key == "tokenizer.chat_template":
                raise InvalidGGUF("the key is 3, not text")
            return super().text(key, *default)

    keys = Typed({**mistral_keys("v1"), "tokenizer.chat_template": 3})
    with pytest.raises(InvalidGGUF):
        ChatFormat.from_metadata(keys, mistral_tokenizer("v1"))


def test_an_empty_template_is_none():
    assert spm_chat("  \n").name == "mistral-v1"


# What a template's text becomes.


def test_a_template_gives_its_markers_and_its_text():
    tokenizer = marked_tokenizer()
    start, end = (tokenizer.token_id(marker) for marker in MARKERS[:2])
    enc = lambda text: tokenizer.encode(text, add_bos=False)  # noqa: E731
    assert marked_chat(CHATML).render([KIND, HI]) == [
        *(tokenizer.bos_id, start, *enc("system\nBe kind"), end, *enc("\n")),
        *(start, *enc("user\nHi"), end, *enc("\n"), start, *enc("assistant\n")),
    ]


@pytest.mark.parametrize("template", [CHATML, HEADERS, LLAMA_2, SILENT])
@pytest.mark.parametrize("render", [marked_chat, bpe_chat])
def test_harmless_messages_are_encoded_as_the_rendered_text(template, render):
    """The shield must leave no trace: not in the ids, not in what strip() and the like see."""
    contents = ["Hi  ", "a  b\n\nc", "héllo 😀", "if a[0] < b > c:\n\tpass", "x", "> quoted", "a |"]
    tokenizer = marked_tokenizer() if render is marked_chat else bpe_tokenizer()
    for content in contents:
        messages = [
            {"role": "user", "content": content},
            HELLO,
            {"role": "user", "content": content},
        ]
        text = plain_render(template, tokenizer, messages)
        ids = tokenizer.encode(text, parse_special=True)
        assert render(template).render(messages) == ids


def plain_render(template, tokenizer, messages):
    from jinja2 import Environment

    pieces = tokenizer.vocabulary.pieces
    return (
        Environment(trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            messages=messages,
            add_generation_prompt=True,
            bos_token=pieces[tokenizer.bos_id],
            eos_token=pieces[tokenizer.eos_id],
        )
    )


def test_the_begin_token_stands_once():
    """Whether or not the template writes it, and however often."""
    tokenizer = marked_tokenizer()
    body = "<|im_start|>{{ messages[0].content }}"
    for start in ("", "{{ bos_token }}", "<s>", "{{ bos_token }}<s>", "\n{{ bos_token }}"):
        ids = marked_chat(start + body).render([HI])
        assert ids == [
            tokenizer.bos_id,
            tokenizer.token_id("<|im_start|>"),
            *tokenizer.encode("Hi")[1:],
        ]


def test_a_vocabulary_that_wants_no_begin_token_gets_it_from_its_template_only():
    tokenizer = bpe_tokenizer()
    assert tokenizer.bos_id not in bpe_chat(CHATML).render([HI])
    assert bpe_chat(HEADERS).render([HI]).count(tokenizer.bos_id) == 1


def test_a_space_after_a_token_is_not_doubled():
    tokenizer = marked_tokenizer()
    enc = lambda text: tokenizer.encode(text, add_bos=False)  # noqa: E731
    start, end = (tokenizer.token_id(marker) for marker in MARKERS[:2])
    template = "{{ bos_token }} [INST] x<|im_start|> {{ messages[0].content }}<|im_end|>y"
    ids = marked_chat(template).render([HI])
    assert ids == [tokenizer.bos_id, *enc("[INST] x"), start, *enc("Hi"), end, *enc("y")]
    lone = marked_chat("<|im_start|> <|im_end|>").render([HI])
    assert lone == [tokenizer.bos_id, start, tokenizer.token_id("▁"), end]


def test_the_time_comes_from_outside():
    ids = bpe_chat("{{ strftime_now('%Y-%m-%d') }}{{ messages[0].content }}").render([HI])
    assert bpe_tokenizer().decode(ids) == "2024-07-25Hi"


# System messages and refusals.


@pytest.mark.parametrize("refusing", [SILENT, ALTERNATE + SILENT.replace("!= 'system'", "")])
def test_a_system_text_is_folded_into_the_first_user_turn_where_there_is_no_place_for_it(refusing):
    """Be it that the template raises or that it just leaves the text out."""
    folded = {"role": "user", "content": "Be kind\n\nHi"}
    format = marked_chat(refusing)
    assert format.render([KIND, HI, HELLO, BYE]) == format.render([folded, HELLO, BYE])
    assert format.render([KIND]) == format.render([{"role": "user", "content": "Be kind"}])
    both = {"role": "user", "content": f"{SAFE_PROMPT}\n\nBe kind\n\nHi"}
    assert format.render([KIND, HI], safe_prompt=True) == format.render([both])


def test_a_template_with_a_place_for_the_system_text_gets_it_there():
    decode = marked_tokenizer().decode
    assert "system\nBe kind" in decode(marked_chat(CHATML).render([KIND, HI]))


def test_what_a_template_refuses_is_told_in_its_own_words():
    with pytest.raises(TemplateError, match="roles must alternate user and assistant") as caught:
        marked_chat(ALTERNATE + SILENT).render([HI, HI])
    assert "--raw" in caught.value.hint


# Tools.


def test_a_template_gets_tools_and_calls_as_data():
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": '{"a": "é"}'}}
    messages = [
        HI,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
    ]
    text = bpe_tokenizer().decode(bpe_chat(WITH_TOOLS).render(messages, [TOOL]))
    assert '[{"type": "function", "function": {"name": "now", "parameters"' in text
    assert 'now{"a": "é"}' in text
    assert "noon" in text


def test_a_template_for_tools_is_taken_when_there_are_tools():
    format = bpe_chat(CHATML, tokenizer__chat_template__tool_use=WITH_TOOLS)
    assert "tools" in bpe_tokenizer().decode(format.render([HI], [TOOL]))
    assert format.render([HI]) == bpe_chat(CHATML).render([HI])


def test_tools_are_never_left_out_in_silence():
    for format in (
        bpe_chat(CHATML),
        bpe_chat(),
        spm_chat(),
        spm_chat(general__name="llama2"),
    ):
        with pytest.raises(TemplateError, match="no place for tools"):
            format.render([HI], [TOOL])


# What a message says stays text.

PIECES = ["<s>", "</s>", "<unk>", *MARKERS]
fragments = st.sampled_from(
    [
        piece[a:b]
        for piece in PIECES
        for a in range(len(piece))
        for b in range(a + 1, len(piece) + 1)
    ]
    + [
        *PIECES,
        *PIECES,
        " ",
        "\n",
        "x",
        "\ufdd0",
        "\ufdd1",
        "<|IM_START|>",
        "<|im_ start|>",
        "< /s\n>",
    ]
)
contents = st.lists(fragments, max_size=6).map("".join)
SHAPES = [CHATML, HEADERS, SILENT, LLAMA_2]
JOINING = [
    "{{ bos_token }}<{{ messages[0].content }}>[{{ messages[0].content }}]<|im_end|>",
    "<|{{ messages[0].content }}|>{{ messages[0].content }}{{ messages[-1].content }}",
    "{{ messages[0].content | lower }}</{{ messages[0].content | trim }}>",
    "{{ messages[0].content | replace('\n', '') | replace(' ', '') }}|>",
    "<|im_{{ messages[0].content }}_start|>{{ messages[0].content.split() | join }}",
    "{{ messages[0] | tojson }}{{ messages[0].content | tojson(ensure_ascii=true) }}",
]


def controls(ids):
    named = {marked_tokenizer().token_id(piece) for piece in PIECES}
    return [token for token in ids if token in named]


@pytest.mark.parametrize("template", [*SHAPES, *JOINING, None])
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(first=contents, answer=contents, last=contents)
def test_what_a_message_says_never_becomes_a_control_token(template, first, answer, last):
    def talk(*said):
        roles = ("user", "assistant", "user")
        return [{"role": r, "content": c} for r, c in zip(roles, said, strict=True)]

    format = formats(template)
    found = controls(format.render(talk(first, answer, last)))
    assert found == controls(format.render(talk("x", "y", "z")))


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("<|im_ start|>", "replace(' ', '')"),
        ("<|im_start\n|>", "replace('\n', '')"),
        ("< /s\t>", "trim | replace('\t', '')"),
        ("<|IM_START|>", "lower"),
        ("a <|im_start|> b", "trim"),
        ("  /s>", "trim"),
        ("<|im_start", "trim"),
    ],
)
def test_no_change_that_templates_make_joins_a_marker(said, change):
    """The template writes "<" and "|>" around what was said, changed."""
    format = marked_chat(f"x<{{{{ messages[0].content | {change} }}}}|>y")
    assert controls(format.render([{"role": "user", "content": said}])) == [
        marked_tokenizer().bos_id
    ]


@cache
def formats(template):
    return marked_chat(template)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(name=contents, key=contents, value=contents, description=contents)
def test_what_tools_and_calls_say_never_becomes_a_control_token(name, key, value, description):
    def render(name, key, value, description):
        function = {"name": name, "arguments": {key: [value, {"type": value}]}}
        tool = {"name": name, "description": description, "parameters": {key: {"type": value}}}
        messages = [
            HI,
            {"role": "assistant", "tool_calls": [{"id": value, "function": function}]},
            {"role": "tool", "name": name, "tool_call_id": value, "content": value},
        ]
        return controls(
            formats(WITH_TOOLS).render(messages, [{"type": "function", "function": tool}])
        )

    assert render(name, key, value, description) == render("x", "x", "x", "x")


@pytest.mark.parametrize("template", SHAPES)
def test_what_a_message_says_is_all_there_as_text(template):
    """Markers are broken for the template's eyes only: the model reads what was typed."""
    rng = random.Random(5)
    for _ in range(40):
        said = "a" + "".join(rng.choices([*PIECES, " ", "b", "\ufdd0"], k=5)) + "c"
        format = marked_chat(template)
        ids = format.render([{"role": "user", "content": said}])
        assert said in marked_tokenizer().decode(ids)


@pytest.mark.parametrize("said", ["word ", "[", "[control_1", "</s>", "[ ", "é<"])
def test_long_messages_are_shielded_soon(said):
    """Also with the 770 control tokens of Mistral's v3, most of which begin alike."""
    format = version_chat("v3", CHATML)
    format.render([HI])
    start = time.process_time()
    format.render([{"role": "user", "content": said * (100_000 // len(said))}])
    assert time.process_time() - start < 2


def test_text_with_every_noncharacter_is_refused():
    said = "".join(chr(code) for code in range(0xFDD0, 0xFDF0))
    with pytest.raises(TemplateError, match="noncharacter"):
        marked_chat(CHATML).render([{"role": "user", "content": said}])


# ChatML and Llama 2 without a template.


@pytest.mark.parametrize("format", [marked_chat, bpe_chat])
def test_chatml_is_written_as_its_template(format):
    messages = [KIND, HI, HELLO, BYE]
    assert format(None).render(messages) == format(CHATML).render(messages)


def test_chatml_needs_both_of_its_tokens():
    keys = metadata(
        "gpt2", ["a", "<|im_start|>"], merges=[], pre="default", token_type=[1, CONTROL]
    )
    with pytest.raises(TemplateError, match="im_end"):
        ChatFormat.from_metadata(keys, Tokenizer.from_metadata(keys)).render([HI])


def test_llama_2_is_written_as_its_template():
    messages = [KIND, {"role": "user", "content": "  Hi </s> "}, HELLO, BYE]
    format = spm_chat(general__name="LLaMA v2")
    assert format.render(messages) == spm_chat(LLAMA_2).render(messages)


def test_llama_2_begins_each_pair_of_turns():
    tokenizer = mistral_tokenizer("v1")
    enc = lambda text: tokenizer.encode(text, add_bos=False)  # noqa: E731
    system = "[INST] <<SYS>>\nBe kind\n<</SYS>>\n\nHi [/INST] Hello "
    ids = spm_chat(general__name="LLaMA v2").render([KIND, HI, HELLO, BYE])
    assert ids == [1, *enc(system), 2, 1, *enc("[INST] Bye [/INST]")]


# Messages that are none.

BAD_MESSAGES = {
    "no messages": [],
    "must be a list": "Hi",
    "not a dictionary": ["Hi"],
    "the role 'bot'": [{"role": "bot", "content": "Hi"}],
    "the role None": [{"content": "Hi"}],
    "the role \\['user'\\]": [{"role": ["user"], "content": "Hi"}],
    "has no content": [{"role": "user"}],
    "message 1 has no content": [HI, {"role": "assistant", "content": None}],
    "is not text": [{"role": "user", "content": 3}],
    "a part that is not text": [{"role": "user", "content": [{"type": "image_url"}]}],
    "surrogate": [{"role": "user", "content": "\ud800"}],
    "name of message 0": [{"role": "tool", "content": "x", "name": 3}],
    "calls tools": [{"role": "user", "content": "x", "tool_calls": [{}]}],
    "not a list": [{"role": "assistant", "tool_calls": 3}],
    "without a function": [{"role": "assistant", "tool_calls": [{}]}],
    "without a name": [{"role": "assistant", "tool_calls": [{"function": {}}]}],
    "neither a dictionary nor JSON": [
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 3}}]}
    ],
    "cannot be written as JSON": [{"role": "user", "content": "x", "extra": {1, 2}}],
    "only the last message": [{**HELLO, "prefix": True}, HI],
}


@pytest.mark.parametrize(("sentence", "messages"), BAD_MESSAGES.items())
def test_malformed_messages_are_told_in_a_sentence(sentence, messages):
    for format in (spm_chat(), marked_chat(CHATML)):
        with pytest.raises(TemplateError, match=sentence) as caught:
            format.render(messages)
        assert caught.value.hint


@pytest.mark.parametrize(
    "tools", ["now", [3], [{}], [{"function": {"name": 3}}], [{"function": 3}]]
)
def test_malformed_tools_are_told_in_a_sentence(tools):
    with pytest.raises(TemplateError, match="tool"):
        version_chat("v3").render([HI], tools)


def test_parts_of_a_content_are_joined():
    parts = [{"type": "text", "text": "a"}, "b"]
    both = [{"role": "user", "content": "a\n\nb"}]
    for format in (spm_chat(), marked_chat(CHATML)):
        assert format.render([{"role": "user", "content": parts}]) == format.render(both)


def test_rendering_leaves_the_callers_messages_alone():
    messages = [{"role": "user", "content": "<s>", "extra": {"a": ["</s>"]}}]
    marked_chat(CHATML).render(messages)
    assert messages == [{"role": "user", "content": "<s>", "extra": {"a": ["</s>"]}}]
