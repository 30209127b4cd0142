"""Mistral's chat formats, token for token against mistral-common."""

import json
import random
from functools import cache

import pytest
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from support.vocabularies import mistral_path, mistral_rows, mistral_tokenizer, spm_metadata

from localmix.errors import TemplateError
from localmix.text.chat import SAFE_PROMPT, ChatFormat
from localmix.text.conversation import read_messages, read_tools
from localmix.text.mistral import MistralFormat, version_of

VERSIONS = ("v1", "v2", "v3", "v7")
WITH_TOOLS = ("v2", "v3", "v7")

FRAGMENTS = [
    *("Hello", "world", "a", "1234", "the quick brown fox", "def f(x):\n    return x", "naïve"),
    *("  ", " ", "\n", "\n\n", "\t", "don't", "你好", "👩‍👩‍👧", "😀", "e\u0301", '{"a": 1}', "\\n"),
    *("[INST]", "[/INST]", "</s>", "<s>", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "<unk>"),
    *("[SYSTEM_PROMPT]", "<0x0A>", "[ INST]", "▁", "<|im_start|>", "[control_8]", "ﬁ", "\x00"),
]  # fmt: skip

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Says the weather: é </s>",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["place"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},
]

RESULTS = ["sunny", "", "[1, 2.50, null]", '{"t": 1e3, "s": "é </s>"}', "{broken", " 12 ", "[INST]"]


@cache
def oracle(version):
    return MistralTokenizer.from_file(mistral_path(version))


def expected(version, messages, tools=None):
    request = ChatCompletionRequest.from_openai(messages, tools=tools)
    return oracle(version).encode_chat_completion(request).tokens


@cache
def chat_format(version):
    return ChatFormat.from_metadata(spm_metadata(mistral_rows(version)), mistral_tokenizer(version))


def text(rng, n=6):
    words = [rng.choice(FRAGMENTS) for _ in range(rng.randint(1, n))]
    return rng.choice(["", " "]).join(words)


def parts(rng):
    """Return a content, sometimes as a list of parts."""
    if rng.random() < 0.8:
        return text(rng)
    return [{"type": "text", "text": text(rng)} for _ in range(rng.randint(1, 3))]


def conversation(rng, version):
    """Return messages that end with a question: 1 to 6 turns, sometimes several in a row by one."""
    messages = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": parts(rng)})
    for _ in range(rng.randint(0, 5)):
        messages += [{"role": "user", "content": parts(rng)}] * rng.choice([1, 1, 1, 2])
        messages.append({"role": "assistant", "content": text(rng) + rng.choice(["", "", "  "])})
        if rng.random() < 0.1:
            messages.append({"role": "assistant", "content": text(rng)})
    if messages and messages[-1]["role"] == "user" and rng.random() < 0.1:
        messages.append({"role": "system", "content": text(rng)})
    messages.append({"role": "user", "content": parts(rng)})
    return messages


def tool_turn(rng, version):
    """Return an assistant's calls and their results."""
    calls, results = [], []
    for _ in range(1 if version == "v2" else rng.randint(1, 3)):
        arguments = rng.choice([{"place": text(rng), "n": [1, 2.0, None]}, {}])
        written = json.dumps(arguments, ensure_ascii=rng.random() < 0.5)
        call_id = "".join(rng.choices("abcXYZ0189", k=9))
        given = rng.choice([arguments, written, "not json"])
        function = {"name": rng.choice(["get_weather", "now"]), "arguments": given}
        calls.append({"id": call_id, "type": "function", "function": function})
        results.append(
            {
                "role": "tool",
                "tool_call_id": call_id,
                "name": function["name"],
                "content": rng.choice([*RESULTS, text(rng)]),
            }
        )
    content = {"content": text(rng)} if version == "v7" else {"content": rng.choice([None, ""])}
    return [{"role": "assistant", "tool_calls": calls, **content}, *results]


@pytest.mark.parametrize("version", VERSIONS)
def test_conversations_are_token_exact(version):
    rng = random.Random(1)
    for _ in range(120):
        messages = conversation(rng, version)
        assert chat_format(version).render(messages) == expected(version, messages), messages


@pytest.mark.parametrize("version", WITH_TOOLS)
def test_conversations_with_tools_are_token_exact(version):
    rng = random.Random(2)
    for _ in range(120):
        messages = conversation(rng, version)
        for _ in range(rng.randint(0, 2)):
            messages += tool_turn(rng, version)
            if rng.random() < 0.6:
                messages.append({"role": "assistant", "content": text(rng)})
                messages.append({"role": "user", "content": text(rng)})
        tools = rng.choice([None, TOOLS, TOOLS[:1]])
        ids = chat_format(version).render(messages, tools)
        assert ids == expected(version, messages, tools), messages


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_that_is_begun_is_not_ended(version):
    messages = [
        {"role": "user", "content": "Count"},
        {"role": "assistant", "content": "One, two,", "prefix": True},
    ]
    ids = chat_format(version).render(messages)
    request = ChatCompletionRequest(messages=messages)  # from_openai would drop "prefix"
    assert ids == oracle(version).encode_chat_completion(request).tokens
    assert ids[-1] != mistral_tokenizer(version).eos_id


@pytest.mark.parametrize("version", VERSIONS)
def test_a_system_message_alone_is_token_exact(version):
    messages = [{"role": "system", "content": "Be kind"}]
    assert chat_format(version).render(messages) == expected(version, messages)


@pytest.mark.parametrize("version", VERSIONS)
def test_safe_prompt_is_the_first_system_text(version):
    safe = {"role": "system", "content": SAFE_PROMPT}
    own = {"role": "system", "content": "Be brief"}
    question = {"role": "user", "content": "Hi"}
    both = {"role": "system", "content": f"{SAFE_PROMPT}\n\nBe brief"}
    render = chat_format(version).render
    assert render([question], safe_prompt=True) == expected(version, [safe, question])
    assert render([own, question], safe_prompt=True) == expected(version, [both, question])
    assert render([own, question]) == expected(version, [own, question])


@pytest.mark.parametrize("version", VERSIONS)
def test_control_tokens_stand_only_where_the_format_puts_them(version):
    tokenizer = mistral_tokenizer(version)
    rng = random.Random(3)
    for _ in range(60):
        messages = conversation(rng, version)
        plain = [{**message, "content": "x"} for message in messages]
        controls = [
            [token for token in chat_format(version).render(given) if tokenizer.is_control(token)]
            for given in (messages, plain)
        ]
        assert controls[0] == controls[1]


def test_the_worked_example_is_true():
    messages = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    assert chat_format("v1").render(messages) == [
        *(1, 733, 16289, 28793, 1739, 2112, 13, 13, 23809, 733, 28748, 16289, 28793),
        *(22557, 2, 733, 16289, 28793, 2463, 28706, 733, 28748, 16289, 28793),
    ]
    assert chat_format("v3").render(messages) == [
        *(1, 3, 16127, 4, 23325, 2, 3, 2507, 2880, 781, 781, 2698, 29474, 4)
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_is_told_by_the_vocabulary(version):
    assert version_of(mistral_tokenizer(version)) == int(version[1:])
    assert chat_format(version).name == f"mistral-{version}"


class TekkenTokenizer:
    """Mistral's Tekken vocabulary behind our interface: nothing is put before a text."""

    def __init__(self, tekken):
        self.tekken = tekken
        self.bos_id, self.eos_id = tekken.bos_id, tekken.eos_id

    def encode(self, text, *, add_bos=True):
        return self.tekken.encode(text, bos=add_bos, eos=False)

    def token_id(self, piece):
        return self.tekken.get_special_token(piece)

    def is_control(self, token):
        return self.tekken.is_special(token)


def test_v3_with_a_tekken_vocabulary_is_token_exact():
    tekken = MistralTokenizer.v3(is_tekken=True)
    tokenizer = TekkenTokenizer(tekken.instruct_tokenizer.tokenizer)
    rng = random.Random(4)
    for i in range(30):
        messages = conversation(rng, "v3") + (tool_turn(rng, "v3") if i % 2 else [])
        tools = TOOLS if i % 3 else None
        request = ChatCompletionRequest.from_openai(messages, tools=tools)
        rendered = MistralFormat(3, tokenizer).render(read_messages(messages), read_tools(tools))
        assert rendered == tekken.encode_chat_completion(request).tokens


def test_v1_has_no_place_for_tools():
    with pytest.raises(TemplateError, match="no place for tools"):
        chat_format("v1").render([{"role": "user", "content": "Hi"}], TOOLS)


def test_v3_says_text_or_calls_not_both():
    call = {"id": "123456789", "type": "function", "function": {"name": "now", "arguments": {}}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Wait", "tool_calls": [call]},
    ]
    with pytest.raises(TemplateError, match="text and tool calls"):
        chat_format("v3").render(messages)


def test_v2_takes_one_result_at_a_time():
    turn = tool_turn(random.Random(7), "v2")
    with pytest.raises(TemplateError, match="one tool result"):
        chat_format("v2").render([{"role": "user", "content": "Hi"}, *turn, turn[-1]])


def test_a_result_says_which_call_it_answers():
    turn = tool_turn(random.Random(7), "v2")
    del turn[-1]["tool_call_id"]
    with pytest.raises(TemplateError, match="which call it answers"):
        chat_format("v3").render([{"role": "user", "content": "Hi"}, *turn])


def test_an_empty_answer_in_the_history_is_no_error():
    """A model may end its answer at once; mistral-common refuses what follows, a chat goes on."""
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Hi"},
    ]
    assert chat_format("v3").render(messages) == [1, 3, 16127, 4, 2, 3, 16127, 4]
