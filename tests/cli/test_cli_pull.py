"""`localmix pull`, and the offer that `run` makes, against the Hub on the loopback."""

import gguf
import pytest
from support.fake_hub import sha256
from support.fake_model import as_json
from support.hub_faults import Cut, Status
from support.other_programs import put_into_ollama
from support.streams import Terminal, plain

from localmix import settings, units
from localmix.registry.disk.inventory import Inventory
from localmix.registry.names import parse_name

REPO = "someone/Some-Model-GGUF"
FILE = "Some-Model.Q8_0.gguf"
NAME = f"hf.co/{REPO}:Q8_0"
SOME = "90.0 kB"
FIT = "fits: 16.0 GB of 32.0 GB are free, it wants 180 MB with 512 tokens of context"
AT_A_TERMINAL = {"terminals": ("stdin", "stderr")}


@pytest.fixture(autouse=True)
def machine(memory_of):
    """Plenty of memory."""


@pytest.fixture
def repo(fake_hub, gguf_bytes):
    """A repository with one small model."""
    return fake_hub.add(REPO, {FILE: gguf_bytes})


@pytest.fixture
def here(model, monkeypatch):
    """The fake model loads what is on this machine, and nothing else."""
    import localmix
    from localmix.registry.resolve import resolve

    def load(name, **options):
        resolve(name, settings.home())
        return model.load(name, **options)

    monkeypatch.setattr(localmix, "load", load)


@pytest.fixture
def judged(monkeypatch):
    """Let a model fit in the way that a test wants."""
    from localmix.engine import fit

    def put(verdict):
        seen = fit.Fit(verdict, 10**8, 3 * 10**9, 10**9, 2 * 10**9, 4096, "f16")
        monkeypatch.setattr(fit, "fit_of", lambda *arguments: seen)

    return put


def place(name=FILE):
    return settings.home() / "models" / REPO / name


def bert(tmp_path):
    """A model of an architecture that localmix does not have."""
    path = tmp_path / "bert.gguf"
    writer = gguf.GGUFWriter(str(path), "bert")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


# ---- what comes, and whether it fits ------------------------------------------------------------


def test_dry_run_names_repository_file_size_and_fit_and_downloads_nothing(cli, repo):
    result = cli("pull", NAME, "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"name         {NAME}\n"
        f"repo         hf.co/{REPO}\n"
        f"file         {FILE}, {SOME}\n"
        f"size         {SOME}\n"
        f"to download  {SOME}\n"
        "memory       180 MB resident with 512 tokens of context (f16), "
        "81.2 kB of weights page-able\n"
        "fit          fits: 16.0 GB of 32.0 GB are free\n"
    )
    assert not settings.home().exists()


def test_dry_run_of_what_is_here_says_so(cli, repo, loaded):
    cli("pull", NAME)
    assert cli("pull", NAME, "--dry-run").out == (
        f"name         {NAME}\n"
        f"repo         hf.co/{REPO}\n"
        f"file         {place()}\n"
        f"size         {SOME}\n"
        "to download  nothing, it is here already: pulled before\n"
    )


def test_dry_run_of_several_leaves_an_empty_line_between_them(cli, repo):
    pages = cli("pull", NAME, "tiny", NAME, "--dry-run").out.split("\n\n")
    assert [page.partition("\n")[0] for page in pages] == [
        f"name         {NAME}",
        "name         tiny",
    ]


def test_the_context_that_is_judged_can_be_chosen(cli, repo):
    page = cli("pull", NAME, "--dry-run", "--ctx", "2000000000", "--kv", "q8_0").out
    assert "2000000000 tokens of context (q8_0)" in page
    assert "fit          does not fit, not even its keys and values: 16.0 GB of" in page


def test_a_smaller_quantization_that_fits_is_named(cli, fake_hub, gguf_bytes, judged, loaded):
    files = {FILE: gguf_bytes, "Some-Model.Q4_0.gguf": b"GGUF", "Some-Model.Q2_K.gguf": b"GG"}
    fake_hub.add(REPO, files)
    judged("fits")
    assert "instead" not in cli("pull", NAME, "--dry-run").out
    judged("pages")
    assert f"instead      hf.co/{REPO}:Q4_0, 4 B\n" in cli("pull", NAME, "--dry-run").out
    result = cli("pull", NAME)
    assert f"a smaller one fits: hf.co/{REPO}:Q4_0, 4 B\n" in result.err


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("tight", "fits once other programs are closed: 1.00 GB of 2.00 GB are free"),
        ("streams", "runs, but slower, reading experts from the disk: 1.00 GB"),
        ("pages", "runs very slowly, reading weights from the disk for each token: 1.00 GB"),
        ("never", "does not fit, not even its keys and values: 1.00 GB"),
        ("unknown", "fit unknown, as this system does not tell its memory"),
    ],
)
def test_every_verdict_is_said_in_words(cli, repo, judged, verdict, words):
    judged(verdict)
    assert f"fit          {words}" in cli("pull", NAME, "--dry-run").out


def test_a_header_that_cannot_be_read_leaves_the_fit_unknown(cli, fake_hub, loaded):
    fake_hub.add(REPO, {FILE: b"no model at all"})
    reason = "fit unknown: the header of the file cannot be read\n"
    assert f"fit          {reason}" in cli("pull", NAME, "--dry-run").out
    assert reason in plain(cli("pull", NAME, **AT_A_TERMINAL).err)


def test_a_name_of_the_catalog_says_where_it_comes_from(cli, fake_hub, gguf_bytes, loaded):
    repo = "bartowski/Mistral-7B-Instruct-v0.3-GGUF"
    fake_hub.add(repo, {"Mistral-7B-Instruct-v0.3-Q4_K_M.gguf": gguf_bytes})
    first = f"mistral:7b-instruct-v0.3-q4_K_M: {SOME}\nfrom hf.co/{repo}\nfits: "
    assert cli("pull", "mistral").err.startswith(first)


# ---- what is written while it comes -------------------------------------------------------------


def test_pull_writes_a_few_plain_lines_when_stderr_is_a_log(cli, repo, loaded):
    result = cli("pull", NAME)
    assert (result.code, result.out) == (0, "")
    assert result.err == (
        f"{NAME}: {SOME}\n{FIT}\n{NAME} is here: {SOME}, verified\nrun it: localmix run {NAME}\n"
    )
    assert sha256(place().read_bytes()) == sha256(repo.files[FILE])


def test_the_kernels_of_a_pulled_model_are_compiled(cli, repo, loaded):
    cli("pull", NAME)
    assert loaded == [NAME]


def test_pull_draws_a_bar_on_a_terminal_and_takes_it_away(cli, fake_hub, loaded, gguf_bytes):
    fake_hub.add(REPO, {FILE: gguf_bytes + bytes(10**6)})
    result = cli("pull", NAME, terminals=("stderr",))
    shown = plain(result.err)
    assert result.code == 0
    assert "downloading ━" in shown
    assert " of 1.09 MB, " in shown
    assert shown.endswith(f"{NAME} is here: 1.09 MB, verified\nrun it: localmix run {NAME}\n")
    assert "\x1b[2K" in result.err, "the bar is wiped off"


def test_no_color_means_none(cli, repo, loaded, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[2m" not in cli("pull", NAME, terminals=("stderr",)).err


def test_pull_of_what_is_here_asks_nobody(cli, repo, fake_hub, loaded):
    cli("pull", NAME)
    fake_hub.requests.clear()
    result = cli("pull", NAME)
    assert result.code == 0
    assert result.err == (
        f"{NAME} is here already: {SOME}, pulled before\nrun it: localmix run {NAME}\n"
    )
    assert fake_hub.requests == []


def test_the_same_file_elsewhere_is_used_and_named(cli, repo, gguf_bytes):
    put_into_ollama(settings.ollama_folders()[0], gguf_bytes)
    assert cli("pull", NAME).err == (
        f"ollama/mistral:latest is here already: {SOME}, Ollama has it\n"
        "run it: localmix run ollama/mistral:latest\n"
    )
    assert not place().exists()


def test_every_name_is_looked_up_before_the_first_download(cli, repo):
    result = cli("pull", NAME, "mistrall")
    assert result.code == 1
    assert result.err.startswith("error: there is no model named mistrall; close names: mistral")
    assert not settings.home().exists()


def test_several_are_pulled_in_order_and_each_once(cli, fake_hub, gguf_bytes, loaded):
    fake_hub.add(REPO, {FILE: gguf_bytes, "Some-Model.Q4_0.gguf": gguf_bytes[:-1] + b"!"})
    other = f"hf.co/{REPO}:Q4_0"
    assert cli("pull", other, NAME, other).code == 0
    assert loaded == [other, NAME]


def test_trouble_is_said_once_and_waited_out(cli, fake_hub, loaded):
    data = bytes(range(256)) * 4000
    faults = [Status(503), Cut(after=1000), Status(429, "1")]
    # The first of them meets the look at the header, which does not insist.
    fake_hub.add(REPO, {FILE: data}, faults=faults)
    result = cli("pull", NAME)
    assert result.code == 0
    assert result.err.count("; trying again\n") >= 1
    assert place().read_bytes() == data


def test_wrong_bytes_come_again(cli, fake_hub, loaded, gguf_bytes):
    fake_hub.add(REPO, {FILE: gguf_bytes}, served={FILE: gguf_bytes[:-1] + b"!"})
    result = cli("pull", NAME)
    assert result.code == 1
    assert f"\ncame wrong, comparing {FILE}, {SOME}\n" in result.err
    assert "error: Some-Model.Q8_0.gguf does not arrive as the Hub states it" in result.err
    assert not place().exists()
    fake_hub.repos[REPO].served.clear()
    assert cli("pull", NAME).code == 0


def test_ctrl_c_keeps_what_has_arrived_and_says_so(cli, repo, loaded, monkeypatch):
    def interrupted(plan, store, hub, on_progress, begins):
        raise KeyboardInterrupt

    kept = "what has arrived is kept: pull again to go on\n"
    with monkeypatch.context() as patch:
        patch.setattr("localmix.registry.pull.pull", interrupted)
        result = cli("pull", NAME)
        assert (result.code, result.err) == (130, f"{NAME}: {SOME}\n{FIT}\n{kept}")
        assert plain(cli("pull", NAME, terminals=("stderr",)).err).endswith(f"\r{kept}")


def test_what_an_earlier_pull_has_left_is_counted(cli, fake_hub, loaded):
    data = bytes(range(250)) * 8000
    refusal = Status(418, at=1_600_000, times=None)
    repo = fake_hub.add(REPO, {FILE: data}, faults=[refusal])
    assert cli("pull", NAME).code == 1
    partial = as_json(cli("list", "--json").out)[-1]
    assert (partial["name"], partial["complete"]) == (NAME, False)
    repo.faults.clear()
    arrived = units.size(partial["size_bytes"])
    result = cli("pull", NAME)
    assert result.err.startswith(f"{NAME}: 2.00 MB, {arrived} of it has arrived\n")
    assert result.code == 0


# ---- questions ----------------------------------------------------------------------------------


def test_a_model_that_does_not_fit_is_asked_about(cli, repo, judged, loaded):
    judged("never")
    no = cli("pull", NAME, stdin="\n", **AT_A_TERMINAL)
    assert no.code == 1
    assert plain(no.err).endswith("Download it all the same? [y/N] nothing was downloaded\n")
    assert not place().exists()
    assert cli("pull", NAME, stdin="y\n", **AT_A_TERMINAL).code == 0
    assert place().exists()


@pytest.mark.parametrize("options", [("--yes",), ("-y",)])
def test_yes_asks_nothing(cli, repo, judged, loaded, options):
    judged("never")
    result = cli("pull", NAME, *options, **AT_A_TERMINAL)
    assert result.code == 0
    assert "[y/N]" not in result.err


def test_a_script_is_never_asked(cli, repo, judged, loaded):
    judged("never")
    result = cli("pull", NAME)
    assert result.code == 0
    assert "Download" not in result.err


@pytest.mark.parametrize("verdict", ["fits", "tight", "unknown"])
def test_what_will_run_is_not_asked_about(cli, repo, judged, loaded, verdict):
    judged(verdict)
    result = cli("pull", NAME, **AT_A_TERMINAL)
    assert result.code == 0
    assert "Download" not in result.err


def test_a_model_that_localmix_cannot_run_is_asked_about_and_not_compiled(
    cli, fake_hub, loaded, tmp_path
):
    fake_hub.add(REPO, {FILE: bert(tmp_path)})
    reason = "localmix cannot run it: the architecture 'bert' is not supported"
    assert f"fit          {reason}\n" in cli("pull", NAME, "--dry-run").out
    result = cli("pull", NAME, stdin="n\n", **AT_A_TERMINAL)
    assert result.code == 1
    assert f"{reason}\nDownload it all the same? [y/N] " in plain(result.err)
    result = cli("pull", NAME)
    assert (result.code, loaded) == (0, [])
    assert result.err.count(reason) == 1
    assert "run it: localmix" not in result.err


def test_a_model_that_does_not_load_after_all_is_a_note(cli, fake_hub):
    fake_hub.add(REPO, {FILE: b"no model at all"})
    result = cli("pull", NAME)
    assert result.code == 0
    assert f"\nnote: localmix cannot run it: {FILE}: not a GGUF file" in result.err
    assert "run it: localmix" not in result.err


# ---- the offer of run ---------------------------------------------------------------------------


def test_run_of_a_missing_model_offers_it(cli, repo, model, here):
    for answer in ("\n", "y\n"):
        result = cli("run", NAME, "hi", stdin=answer, **AT_A_TERMINAL)
        assert (result.code, result.out) == (0, "Hello, world.\n")
        shown = plain(result.err)
        assert shown.startswith(f"{NAME} is not here yet: {SOME}\n{FIT}\nDownload it? [Y/n] ")
        assert f"{NAME} is here: {SOME}, verified\n" in shown
        assert "run it" not in shown
        cli("rm", NAME)


def test_a_no_is_no_error(cli, repo, here):
    for answer in ("n\n", "no\n", ""):
        result = cli("run", NAME, "hi", stdin=answer, **AT_A_TERMINAL)
        assert (result.code, result.out) == (1, "")
        assert plain(result.err).endswith("nothing was downloaded\n")
        assert "error" not in result.err
        assert not place().exists()


def test_ctrl_c_at_the_question_is_code_130(cli, repo, here, monkeypatch):
    def readline(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Terminal, "readline", readline)
    result = cli("run", NAME, "hi", **AT_A_TERMINAL)
    assert (result.code, result.out) == (130, "")
    assert result.err.endswith("Download it? [Y/n] \n")


def test_what_does_not_fit_is_offered_with_a_no(cli, repo, here, judged):
    judged("never")
    result = cli("run", NAME, "hi", stdin="\n", **AT_A_TERMINAL)
    assert result.code == 1
    assert "Download it all the same? [y/N] " in result.err


def test_without_a_person_a_missing_model_is_an_error(cli, repo):
    for terminals in ((), ("stdin",), ("stderr",)):
        result = cli("run", NAME, "hi", terminals=terminals)
        assert (result.code, result.out) == (1, "")
        assert f"try: localmix pull {NAME}\n" in plain(result.err)
        assert not settings.home().exists()


def test_run_uses_the_same_file_of_another_program(cli, repo, model, here, gguf_bytes):
    put_into_ollama(settings.ollama_folders()[0], gguf_bytes)
    result = cli("run", NAME, "hi", **AT_A_TERMINAL)
    assert result.code == 0
    assert model.loads[-1] == (NAME, {})
    found = Inventory(settings.home()).find(parse_name(NAME))
    assert (found.origin, found.name) == ("Ollama", "ollama/mistral:latest")


def test_a_model_that_ollama_lacks_is_not_ours_to_offer(cli):
    result = cli("run", "ollama/nothing", "hi", **AT_A_TERMINAL)
    assert result.code == 1
    assert "Ollama has no nothing" in plain(result.err)


# ---- what the Hub refuses -----------------------------------------------------------------------


def test_an_unknown_quantization_lists_those_that_exist(cli, fake_hub, gguf_bytes):
    fake_hub.add(REPO, {FILE: gguf_bytes, "Some-Model.Q4_0.gguf": gguf_bytes})
    assert cli("pull", f"hf.co/{REPO}:Q5_K_M").err == (
        f"error: hf.co/{REPO} has no quantization Q5_K_M; those that exist: Q4_0, Q8_0\n"
        f"try: localmix pull hf.co/{REPO}:Q4_0\n"
    )


def test_a_gated_repository_says_that_a_token_is_needed_and_where_to_give_it(
    cli, fake_hub, gguf_bytes, loaded, monkeypatch
):
    fake_hub.add(REPO, {FILE: gguf_bytes}, token="secret")
    for token in (None, "wrong"):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        result = cli("pull", NAME)
        assert result.code == 1
        assert "token" in result.err.splitlines()[0]
        assert "HF_TOKEN" in result.err.splitlines()[1]
        assert "wrong" not in result.err
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert cli("pull", NAME).code == 0


def test_offline_nothing_is_asked(cli, repo, fake_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = cli("pull", NAME)
    assert result.code == 1
    assert "HF_HUB_OFFLINE is set" in result.err
    assert fake_hub.requests == []


def test_a_repository_that_does_not_exist_is_two_lines(cli, fake_hub):
    result = cli("pull", "hf.co/no/such")
    assert result.code == 1
    assert result.err.startswith("error: the Hub has no repository no/such")
    assert result.err.count("\n") == 2


def test_a_context_that_makes_no_sense_is_wrong_usage(cli):
    assert cli("pull", NAME, "--ctx", "0").code == 2
    assert cli("pull", NAME, "--kv", "f64").code == 2
