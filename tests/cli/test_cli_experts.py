"""`localmix experts`: tokens and their experts in a terminal, in a pipe, on a page, as JSON."""

import html
import os
import re

import pytest
from rich.cells import cell_len
from support.fake_model import as_json
from support.models import Shape, write_model

import localmix
from localmix.cli.experts import SAMPLE, chosen_layers
from localmix.cli.experts_figure import PALETTE, visible_lines
from localmix.cli.experts_page import page
from localmix.engine.routes import layer_routes

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def lines_of_layer(out, layer):
    """Lines from below the heading of a layer to the empty line before its legend."""
    lines = ESCAPES.sub("", out).splitlines()
    start = lines.index(f"layer {layer}") + 1
    return lines[start : lines.index("", start)]


def styles(out):
    """What was written in colour -> the code of its style."""
    return {text: code for code, text in re.findall(r"\x1b\[([0-9;]+)m([^\x1b]+)\x1b\[0m", out)}


def legend_of_layer(out, layer):
    """Expert -> (share of first choices, share of visits), in percent."""
    after = ESCAPES.sub("", out).split(f"layer {layer}\n")[1].split("\n\n")[1]
    entries = re.findall(r" (\d+) [█▏▎▍▌▋▊▉ ]{4} +(\d+) % +(\d+) %", after)
    return {int(expert): (int(first), int(visits)) for expert, first, visits in entries}


def test_a_pipe_has_the_expert_of_each_token_under_it(cli, routing):
    model = routing(["", "The", " fog", " came", "."], [[7, 0], [3, 1], [0, 3], [3, 0], [5, 0]])
    result = cli("experts", "m", "The fog came.", "--layers", "0,3")
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out
    assert lines_of_layer(result.out, 0) == ["<named> The ·fog ·came .", "7       3   0    3     5"]
    assert lines_of_layer(result.out, 3) == ["<named> The ·fog ·came .", "0       1   3    0     0"]
    assert model.texts == ["The fog came."]
    assert model.closed


def test_a_terminal_with_colours_shows_each_token_on_its_experts(cli, routing):
    pieces = ["The", " fog", " came\n", "in"]
    routing(pieces, [[3, 1], [0, 3], [3, 0], [7, 0]])
    result = cli("experts", "m", "text", "--layers", "0", terminals=("stdout",))
    assert lines_of_layer(result.out, 0) == ["The fog came↵", "in"]
    style = styles(result.out)
    assert style["The"] == style[" came↵"] == style[" 3 "]  # tokens, and the legend
    assert style[" fog"] == style[" 0 "]
    assert style["in"] == style[" 7 "]
    assert len({style[f" {expert} "] for expert in range(8)}) == 8


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "linux")])
def test_a_terminal_without_colours_gets_what_a_pipe_gets(cli, routing, monkeypatch, name, value):
    routing(["The", " fog"], [[3, 1], [0, 3]])
    piped = cli("experts", "m", "text").out
    monkeypatch.setenv(name, value)
    drawn = cli("experts", "m", "text", terminals=("stdout",)).out
    assert ESCAPES.sub("", drawn) == piped
    if name == "NO_COLOR":
        assert drawn == piped


def test_more_experts_than_colours_have_numbers_on_cycling_colours(cli, routing):
    routing(["a", "b", "c", "d"], [[3, 0], [11, 0], [63, 0], [4, 0]], n_experts=64)
    out = cli("experts", "m", "text", "--layers", "0", terminals=("stdout",)).out
    assert lines_of_layer(out, 0) == ["a b  c  d", "3 11 63 4"]
    style = styles(out)
    assert style["a"] == style["b"] != style["d"]
    assert 11 % len(PALETTE) == 3
    assert set(legend_of_layer(out, 0)) == set(range(64))


def test_the_legend_has_both_shares_of_every_expert(cli, routing):
    routing(["a", "b", "c", "d"], [[3, 1], [3, 0], [2, 3], [3, 1]])
    legend = legend_of_layer(cli("experts", "m", "text", "--layers", "0").out, 0)
    nobody = dict.fromkeys(range(4, 8), (0, 0))
    assert legend == {0: (0, 12), 1: (0, 25), 2: (25, 12), 3: (75, 50), **nobody}


def test_repetition_stands_beside_chance(cli, routing):
    routing(["a", "b", "c"], [[1, 6], [6, 1], [6, 2]])
    out = cli("experts", "m", "text", "--layers", "0").out
    assert "50.0 % have the first expert of the token before, 12.5 % by chance\n" in out
    assert "100.0 % have an expert in common with it, 46.4 % by chance\n" in out


def test_one_token_repeats_nothing(cli, routing):
    routing(["a"], [[1, 6]])
    assert "one token alone repeats nothing" in cli("experts", "m", "a").out
    (layer,) = as_json(cli("experts", "m", "a", "--json", "--layers", "1").out)["layers"]
    assert (layer["repetition"]["first"], layer["repetition"]["any"]) == (None, None)
    assert layer["repetition"]["first_by_chance"] == 0.125


def test_wide_characters_stay_above_their_numbers(cli, routing):
    routing(["狐狸狐", "狸", "x"], [[1, 0], [2, 0], [3, 0]])
    tokens, numbers = lines_of_layer(cli("experts", "m", "text").out, 0)
    places = [cell_len(tokens[: tokens.index(piece)]) for piece in ("狐狸狐", "狸 ", "x")]
    assert places == [numbers.index(number) for number in "123"]


@pytest.mark.parametrize("terminals", [(), ("stdout",)])
def test_lines_end_where_the_terminal_does(cli, routing, monkeypatch, terminals):
    monkeypatch.setenv("COLUMNS", "40")
    pieces = [" word", "狐", "y" * 100, "\n\n  ", "\t"] * 12
    routing(pieces, [[i % 8, (i + 1) % 8] for i in range(len(pieces))])
    out = cli("experts", "m", "text", "--layers", "0", terminals=terminals).out
    lines = ESCAPES.sub("", out).splitlines()
    assert max(map(cell_len, lines)) <= 40
    assert all(line == line.rstrip() for line in lines) or terminals
    tokens = lines_of_layer(out, 0)
    if not terminals:
        numbers = [line for line in tokens if re.fullmatch("[0-9 ]+", line)]
        assert " ".join(numbers).split() == [str(i % 8) for i in range(60)]
    assert sum(line.count("y") for line in tokens) == 1200
    assert sum(line.count("↵") for line in tokens) == 24


def test_a_line_is_filled_to_its_last_column(cli, routing, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    routing(["x" * 20, "y" * 20, "z" * 21, "狐" * 10], [[1, 0]] * 4)
    out = cli("experts", "m", "text", "--layers", "0", terminals=("stdout",)).out
    assert lines_of_layer(out, 0) == ["x" * 20 + "y" * 20, "z" * 21, "狐" * 10]


def test_every_token_can_be_seen():
    assert visible_lines(" a\n\n  b", "·") == ["·a↵", "↵", "··b"]
    assert visible_lines("\n", " ") == ["↵"]
    assert visible_lines("\t\x1b[2J\x00\r\x7f", " ") == ["→␛[2J␀␍␡"]
    assert visible_lines("\x9b\u200d\u202e\u00a0\U000e0001", " ") == [
        "\\u009b\\u200d\\u202e\\u00a0\\U000e0001"
    ]
    assert visible_lines("\u0301", " ") == ["◌\u0301"]
    assert visible_lines("", " ") == ["∅"]


def test_a_text_cannot_steer_the_terminal(cli, routing):
    routing(["\x1b[2J", "\x9b", "[bold]"], [[1, 0], [2, 0], [3, 0]])
    out = cli("experts", "m\x1b[2J", "text", "--layers", "0").out
    assert not {"\x1b", "\x9b"} & set(out)
    assert lines_of_layer(out, 0)[0] == "␛[2J \\u009b [bold]"


def test_parts_of_characters_are_shown_as_bytes(cli, tmp_path):
    path = write_model(tmp_path / "baby.gguf", Shape(n_experts=4))
    record = as_json(cli("experts", str(path), "é", "--json", "--executor", "reference").out)
    assert record["pieces"] == ["<s>", " ", "\\xc3", "\\xa9"]
    drawn = cli("experts", str(path), "é", "--executor", "reference", terminals=("stdout",))
    assert "<s> \\xc3\\xa9" in ESCAPES.sub("", drawn.out)


def test_json_of_tiny_has_exactly_the_keys_of_the_interface(cli, warm):
    text = "The fox ran.\nThe fox sat."
    result = cli("experts", "tiny", text, "--json", "--layers", "2,0")
    assert (result.code, result.err) == (0, "")
    record = as_json(result.out)
    with localmix.load("tiny") as model:
        ids = model.tokenize(text)
        routes = model.route(ids)
    assert list(record) == ["model", "tokens", "pieces", "n_experts", "n_experts_used", "layers"]
    assert (record["model"], record["tokens"]) == ("tiny", ids)
    assert (record["n_experts"], record["n_experts_used"]) == (8, 2)
    assert "".join(record["pieces"]) == f"<s> {text}"
    assert [layer["layer"] for layer in record["layers"]] == [2, 0]
    for layer in record["layers"]:
        assert list(layer) == ["layer", "experts", "first", "visits", "repetition"]
        assert layer["experts"] == routes[layer["layer"]].tolist()
        (expected,) = layer_routes(routes, 8, [layer["layer"]])
        assert layer["first"] == expected.first.tolist()
        assert layer["visits"] == expected.visits.tolist()
        assert sum(layer["first"]) == pytest.approx(1)
        assert sum(layer["visits"]) == pytest.approx(1)
        assert layer["repetition"] == vars(expected.repetition)
        assert list(layer["repetition"]) == ["first", "first_by_chance", "any", "any_by_chance"]


def test_more_experts_can_be_asked_for(cli, warm):
    options = ("--experts", "3", "--threads", "1", "--executor", "reference", "--json")
    record = as_json(cli("experts", "tiny", "hi", *options).out)
    assert record["n_experts_used"] == 3
    assert {len(set(experts)) for layer in record["layers"] for experts in layer["experts"]} == {3}
    chance = record["layers"][0]["repetition"]["any_by_chance"]
    assert chance == pytest.approx(1 - (5 * 4 * 3) / (8 * 7 * 6))


def test_options_reach_the_model(cli, routing):
    model = routing(["a"], [[1, 0]])
    cli("experts", "m", "a", "--threads", "2", "--experts", "3", "--executor", "reference")
    options = {"n_threads": 2, "n_experts_used": 3, "executor": "reference"}
    assert model.loads == [("m", options)]


def test_text_can_be_piped_and_joined(cli, routing):
    model = routing(["a"], [[1, 0]])
    cli("experts", "m", stdin="größer\n".encode())
    cli("experts", "m", "first", stdin=b"second\n")
    assert model.texts == ["größer", "first\n\nsecond"]


@pytest.mark.parametrize("terminals", [(), ("stdin",)])
def test_without_text_a_sample_is_read_and_said_to_be_one(cli, routing, terminals):
    model = routing(["a"], [[1, 0]])
    result = cli("experts", "m", terminals=terminals)
    assert model.texts == [SAMPLE]
    assert (result.code, result.err) == (0, "no text was given, so this is a sample\n")


def test_an_empty_text_is_wrong_usage(cli, routing):
    routing(["a"], [[1, 0]])
    result = cli("experts", "m", " \n")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: the text is empty\ntry: localmix experts tiny ")


def test_a_text_in_several_words_is_told_of_quotes(cli):
    result = cli("experts", "tiny", "Once", "upon")
    assert result.code == 2
    assert 'try: put the text in quotes: localmix experts MODEL "all of the text"' in result.err


def test_a_long_text_gets_the_context_that_it_needs(cli, routing):
    model = routing(["a"] * 65, [[1, 0]] * 65)
    model.config.context_length = 65
    assert cli("experts", "m", "text").code == 0
    assert [options for _, options in model.loads] == [{}, {"n_ctx": 65}]


def test_a_text_beyond_the_model_is_an_error(cli, routing):
    model = routing(["a"] * 65, [[1, 0]] * 65)
    result = cli("experts", "m", "text")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: 65 tokens do not fit the model's context of 64\ntry: give it a shorter text\n"
    )
    assert len(model.loads) == 1


def test_layers_are_the_first_the_middle_and_the_last():
    assert chosen_layers(None, 32) == [0, 15, 31]
    assert chosen_layers(None, 2) == [0, 1]
    assert chosen_layers(None, 1) == [0]
    assert chosen_layers("all", 3) == [0, 1, 2]
    assert chosen_layers(" 2, 0,2", 3) == [2, 0]


@pytest.mark.parametrize("layers", ["4", "-1", "", "0,", "x", "1.0", "0-3", "²", "٣", "9" * 5000])
def test_bad_layers_are_told_which_there_are(cli, routing, layers):
    routing(["a"], [[1, 0]])
    result = cli("experts", "m", "text", "--layers", layers)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: --layers must be all or numbers from 0 to 3, not ")
    assert result.err.endswith("\ntry: --layers 0,3\n")


def test_a_dense_model_has_no_experts(cli, tmp_path):
    path = write_model(tmp_path / "dense.gguf", Shape())
    result = cli("experts", str(path), "the fox", "--executor", "reference")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: a dense model has no experts\ntry: ask a Mixtral: tiny, mixtral\n"
    )


def test_the_page_has_every_token_with_its_experts(cli, tmp_path, warm):
    target = tmp_path / "experts.html"
    text = "A <script>alert('x')</script> & \"fox\".\n\tIt ran."
    command = ("experts", "tiny", text, "--layers", "1,3")
    result = cli(*command, "--html", str(target))
    assert (result.code, result.err) == (0, f"the page is in {target}\n")
    assert result.out == cli(*command).out
    written = target.read_text(encoding="utf-8")
    record = as_json(cli(*command, "--json").out)
    for layer, part in zip(record["layers"], written.split("<h2>Layer ")[1:], strict=True):
        assert part.startswith(f"{layer['layer']}<")
        spans = re.findall(
            r'<span class="t e(\d)" data-e="\1" title="([^"]*)">([^<]*)</span>(\n?)', part
        )
        assert len(spans) == len(record["tokens"])
        for i_token, (expert, tip, seen, end) in enumerate(spans):
            first, second = layer["experts"][i_token]
            assert int(expert) == first
            assert tip.startswith(f"token {i_token}: ")
            assert tip.endswith(
                f" · id {record['tokens'][i_token]} · expert {first}, then {second}"
            )
            shown = record["pieces"][i_token].replace("\n", "↵\n").replace("\t", "→")
            assert html.unescape(seen) + end == shown


def test_the_page_escapes_and_refers_to_nothing(routing):
    fake = routing(["<script>", '"><b>', "&amp;", "\x1b\x00\r"], [[1, 0]] * 4)
    layers = layer_routes(fake.route([0]), 8, [0])
    pieces = [piece.decode() for piece in fake.pieces]
    written = page("<i>name</i>\n", "a & b", layers, [0, 1, 2, 3], pieces)
    body = re.sub(r"<style>.*</style>", "", written, flags=re.DOTALL)
    assert not re.search(r"<(script|b>|i>)", written.replace("<b class", ""))
    assert "&lt;script&gt;" in body
    assert "&quot;&gt;&lt;b&gt;" in body
    assert "&amp;amp;" in body
    assert "␛␀␍" in body
    assert "a &amp; b" in body
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import", written)
    assert all(character.isprintable() or character == "\n" for character in written)


def test_the_page_shows_numbers_where_colours_do_not_suffice(routing):
    for n_experts, is_checked in ((8, False), (64, True)):
        fake = routing(["a"], [[7, 0]], n_experts=n_experts)
        written = page("m", "", layer_routes(fake.route([0]), n_experts, [0]), [0], ["a"])
        assert ('id="numbers" checked' in written) == is_checked
        assert len(re.findall(r'<div class="bar b\d+"', written)) == n_experts


def test_json_and_page_together(cli, routing, tmp_path):
    routing(["a"], [[1, 0]])
    result = cli("experts", "m", "a", "--json", "--html", str(tmp_path / "p.html"))
    assert as_json(result.out)["tokens"] == [0]
    assert (tmp_path / "p.html").exists()


@pytest.mark.parametrize("place", ["", "none/p.html"])
def test_a_page_without_a_place_is_an_error_before_anything_is_read(cli, routing, tmp_path, place):
    model = routing(["a"], [[1, 0]])
    result = cli("experts", "m", "a", "--html", str(tmp_path / place))
    assert (result.code, result.out) == (1, "")
    assert re.fullmatch(
        r"error: the page cannot be written to [^\n]+: (that is a folder|there is no such folder)\n"
        r"try: give --html a file [^\n]+\n",
        result.err,
    )
    assert not model.loads


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_page_that_cannot_be_written_is_an_error(cli, routing, tmp_path):
    routing(["a"], [[1, 0]])
    loop = tmp_path / "loop.html"
    loop.symlink_to(loop)
    result = cli("experts", "m", "a", "--html", str(loop))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"error: the page cannot be written to {loop}: ")
    assert "\ntry: give --html a file " in result.err
