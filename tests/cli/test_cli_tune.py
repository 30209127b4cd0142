"""`localmix tune`: what it found is shown, kept, used, and can be forgotten."""

import json

import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, write_model

import localmix
from localmix import settings
from localmix.bench import tune as bench_tune
from localmix.cli.tune import _Models
from localmix.engine.tuned import Tuned
from localmix.kernels.library import this_machine


@pytest.fixture
def path(tmp_path, monkeypatch, kernel_cache):
    (tmp_path / "cache").mkdir()
    (kernel_cache / "kernels").mkdir(exist_ok=True)
    (tmp_path / "cache" / "kernels").symlink_to(kernel_cache / "kernels")
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "cache"))
    return str(write_model(tmp_path / "m.gguf", Shape(), quant=Q.Q8_0))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """A quiet machine, until a test says otherwise."""
    from localmix.bench import conditions

    def put(others_cpus=0.0, throttled=None, on_battery=None):
        seen = conditions.Around(others_cpus, throttled, on_battery)
        monkeypatch.setattr(conditions, "around", lambda start, end: seen)

    put()
    return put


@pytest.fixture
def found(monkeypatch):
    """Tuning that is over at once: two threads for prompts, one for tokens, chunks of 256."""
    best = Tuned(2, 1, 256)
    trials = (
        bench_tune.Trial("decode", Tuned(1, 2), ((10.0, 9.0),)),
        bench_tune.Trial("prefill", Tuned(2, 1), ((50.0, 80.0),)),
        bench_tune.Trial("prefill", best, ((80.0, 88.0),)),
    )
    tuning = bench_tune.Tuning(best, trials)
    monkeypatch.setattr(bench_tune, "tune", lambda *arguments: tuning)
    return tuning


def test_what_was_tried_and_what_is_best_is_shown(cli, path, found):
    result = cli("tune", path)
    assert (result.code, result.err) == (0, "")
    tile = "x".join(map(str, this_machine().tier.tile))
    assert result.out == (
        "         tried                     tok/s  before\n"
        "decode   2 threads                  9.00    10.0\n"
        "prefill  2 threads, chunks of 512   80.0    50.0  better\n"
        "prefill  2 threads, chunks of 256   88.0    80.0  better\n"
        "\n"
        "tokens   1 thread\n"
        f"prompts  2 threads, chunks of 256, tile {tile}\n"
    )


def test_it_is_used_from_then_on_until_it_is_forgotten(cli, path, found):
    def how():
        with localmix.load(path) as model:
            return model.executor.n_threads_few, model.chunk_tokens

    usual = how()
    cli("tune", path)
    assert how() == (1, 256) != usual
    result = cli("tune", path, "--forget")
    assert (result.code, result.out) == (0, "")
    assert result.err == f"{path} runs as usual again\n"
    assert how() == usual


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"others_cpus": 30.0}, "other programs took"),
        ({"throttled": True}, "heat slowed the CPU down"),
        ({"on_battery": True}, "the machine runs on its battery"),
    ],
)
def test_what_a_busy_machine_found_is_not_kept_unless_asked(
    cli, path, found, surroundings, seen, words
):
    surroundings(**seen)
    result = cli("tune", path)
    assert result.err.startswith(words)
    assert "so nothing was kept; try again when it is quiet" in result.err
    assert not (settings.cache_folder() / "tuned.json").exists()
    assert words in json.loads(cli("tune", path, "--json").out)["spoilt"]
    assert "kept all the same" in cli("tune", path, "--anyway").err
    assert (settings.cache_folder() / "tuned.json").exists()


def test_json_has_the_choices_and_the_trials(cli, path, found):
    record = json.loads(cli("tune", path, "--json").out)
    assert record["threads"] == {"prefill": 2, "decode": 1}
    assert (record["chunk_tokens"], record["tile"]) == (256, None)
    assert [trial["better"] for trial in record["trials"]] == [False, True, True]
    assert record["trials"][0] == {
        "what": "decode", "threads": 2, "chunk_tokens": 512, "tile": None, "tok_s": 9.0,
        "before_tok_s": 10.0, "better": False,
    }  # fmt: skip


def test_a_model_is_really_measured_with_the_choices(path):
    loads = []

    def load_file(path, on_compile, choices):
        from localmix.engine.load import load_file as real

        loads.append(choices)
        return real(path, choices=choices)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("localmix.engine.load.load_file", load_file)
        models = _Models(path, lambda done, total: None)
    one, two, three = Tuned(1, 1), Tuned(2, 1), Tuned(1, 2, 256)
    assert models.measure("decode", one, 4) > 0
    assert models.measure("prefill", two, 8) > 0
    assert models.measure("prefill", one, 8) > 0
    loaded = list(models._loaded.values())
    assert [model.executor.n_threads for model in loaded] == [2, 1]
    models.measure("decode", three, 4)
    assert list(models._loaded) == [one, three]  # the one used last stays
    models.close()


def test_no_prompt_is_found_in_the_cache_of_the_one_before(path):
    from localmix.engine.generate import Generation

    kept, prompts = [], []
    with pytest.MonkeyPatch.context() as patch:
        finish = Generation.__next__

        def watched(generation):
            piece = finish(generation)
            kept.append(generation.stats.kept_tokens)
            prompts.append(generation.stats.prompt_tokens)
            return piece

        patch.setattr(Generation, "__next__", watched)
        models = _Models(path, lambda done, total: None)
        for _ in range(3):
            models.measure("prefill", Tuned(1, 1), 16)
        models.close()
    assert set(prompts) == {16}
    assert max(kept) <= 1  # two random prompts may begin alike by chance


def test_a_folder_that_cannot_be_written_is_said(cli, path, found, monkeypatch):
    def write_json(path, value):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("localmix.engine.tuned.write_json", write_json)
    result = cli("tune", path)
    assert result.code == 1
    assert "cannot be kept in" in result.err
    assert "LOCALMIX_CACHE" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tune", "nosuchmodel"), 1, "there is no model named nosuchmodel"),
        (("tune",), 2, "MODEL"),
        (("tune", "tiny", "--forget", "--now"), 2, "--now"),
    ],
)
def test_what_makes_no_sense_is_said(cli, arguments, code, message):
    result = cli(*arguments)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
