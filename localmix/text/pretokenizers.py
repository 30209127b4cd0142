r"""How byte-level BPE models cut text into words, by the name in `tokenizer.ggml.pre`.

A pre-tokenizer is a list of regular expressions. Each one cuts every piece of text that the one
before left: its matches become pieces, and so does what lies between them. Merges never cross the
cuts.

Sources: the names and expressions are those of llama.cpp (`llm_tokenizer_bpe` in
src/llama-vocab.cpp). Where it quotes the expression of the model's own tokenizer.json and uses a
variant that its engine can run, the quoted one stands here: ours runs it as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from localmix.errors import UnsupportedModel


@dataclass(frozen=True)
class PreTokenizer:
    """One way to cut text into words, with what llama.cpp ties to its name.

    Attributes:
        patterns: regular expressions (Oniguruma's dialect), used one after the other.
        ignore_merges: a word that is a token becomes it at once, without merging.
        add_bos: whether prompts start with BOS when the file does not say.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


# The parts that most expressions share.
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"  # with the space, or any one sign, before it
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"  # the last space before a word goes with the word

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}"
_QWEN2 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}|{_SIGNS}|{_SPACES}"

# Words in camel case are cut before a capital: these two say "capitals, then small letters".
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SIGN = r"[^\r\n\p{L}\p{N}]?"
_PATH_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_TEKKEN = rf"{_SIGN}{_UPPER}*{_LOWER}+|{_SIGN}{_UPPER}+{_LOWER}*|\p{{N}}|{_PATH_SIGNS}|{_SPACES}"
_GPT4O = (
    rf"{_SIGN}{_UPPER}*{_LOWER}+{_CONTRACTION}?|{_SIGN}{_UPPER}+{_LOWER}*{_CONTRACTION}?"
    rf"|\p{{N}}{{1,3}}|{_PATH_SIGNS}|{_SPACES}"
)

_DIGIT = r"\p{N}"
_UP_TO_THREE_DIGITS = r"\p{N}{1,3}"
_HAN_AND_KANA = "[一-龥\u3040-\u30ff]+"
_FROM_CJK_TO_HANGUL = "[一-龥\u0800-一가-\ud7ff]+"
_UP_TO_PUNCTUATION = r" ?[^(\s|.,!?…。，、।۔،)]+"  # Bloom's: all but spaces and these

# DeepSeek LLM spells out the letters of scripts with capitals, as one release of Unicode had them.
_CASED = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ"
    "Ḁ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭ"
    "ℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
_DEEPSEEK_LLM = (
    r"[\r\n]",
    rf"\s?[{_CASED}]+",
    "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
    r"\s+$",
    _FROM_CJK_TO_HANGUL,
    r"\p{N}+",
)
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _FROM_CJK_TO_HANGUL, _DIGIT)
_DEEPSEEK_V3 = (
    _UP_TO_THREE_DIGITS,
    _HAN_AND_KANA,
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    rf"|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}",
)
_BAILING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
_SEED_CODER = rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}"
_EXAONE_MOE = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
)

# One line for each behaviour: the names that share it, then the behaviour.
_FAMILIES: tuple[tuple[str, PreTokenizer], ...] = (
    (
        "default",
        PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
    ),
    (
        "gpt-2 phi-2 gigachat a.x-4.0 mellum mpt olmo jais trillion granite-docling exaone4",
        PreTokenizer((_GPT2,)),
    ),
    ("falcon", PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]"))),
    (
        "starcoder refact command-r smollm codeshell exaone minerva-7b",
        PreTokenizer((_DIGIT, _GPT2)),
    ),
    (
        "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
        PreTokenizer((_LLAMA3,), ignore_merges=True, add_bos=True),
    ),
    ("dbrx smaug-bpe glm4 chatglm-bpe", PreTokenizer((_LLAMA3,))),
    (
        "qwen2 deepseek-r1-qwen kormo megrez stablelm2 hunyuan grok-2 solar-open",
        PreTokenizer((_QWEN2,)),
    ),
    ("tekken", PreTokenizer((_TEKKEN,), ignore_merges=True, add_bos=True)),
    ("gpt-4o llama4 minimax-m2", PreTokenizer((_GPT4O,))),
    ("poro-chat bloom gpt3-finnish", PreTokenizer((_UP_TO_PUNCTUATION,))),
    ("viking", PreTokenizer((_UP_TO_PUNCTUATION, _DIGIT))),
    ("deepseek-llm", PreTokenizer(_DEEPSEEK_LLM)),
    ("deepseek-coder", PreTokenizer(_DEEPSEEK_CODER)),
    ("deepseek-v3 hunyuan-dense", PreTokenizer(_DEEPSEEK_V3)),
    ("bailingmoe bailingmoe2 llada-moe", PreTokenizer((_BAILING,))),
    ("seed-coder", PreTokenizer((_SEED_CODER,))),
    ("exaone-moe", PreTokenizer((_EXAONE_MOE,))),
)

PRE_TOKENIZERS: Mapping[str, PreTokenizer] = MappingProxyType(
    {name: behaviour for names, behaviour in _FAMILIES for name in names.split()}
)


def find_pre_tokenizer(name: str) -> PreTokenizer:
    """Look a pre-tokenizer up by its name in the file.

    Raises:
        UnsupportedModel: localmix does not know the name.
    """
    if name not in PRE_TOKENIZERS:
        raise UnsupportedModel(
            f"the model's text is cut into words in a way that localmix does not know: {name!r}",
            f"take a model with one of these pre-tokenizers: {', '.join(sorted(PRE_TOKENIZERS))}",
        )
    return PRE_TOKENIZERS[name]
