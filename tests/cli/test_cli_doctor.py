"""`localmix doctor`: how it looks, what it mends, what a report tells, and its exit codes."""

import io
import json
import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
from support import stored
from support.streams import plain

from localmix import __version__, settings
from localmix.conversation.history import Conversation, Entry, History
from localmix.registry.disk.records import NamedFile, Records
from localmix.registry.disk.store import Store

TOKEN = "hf_abcdefghijklmnop"
OLD_KERNELS = "avx2-0123456789abcdef"


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home and a cache that are new and whole."""
    monkeypatch.setenv("LOCALMIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OLLAMA_MODELS")
    (tmp_path / "home").mkdir()
    (tmp_path / "cache" / "kernels").mkdir(parents=True)
    return tmp_path / "home"


def findings(result):
    groups = json.loads(result.out)["groups"]
    return {(g["name"], f["name"]): f for g in groups for f in g["findings"]}


def age(path):
    """Let a file, or a folder with all in it, be long untouched."""
    for each in (path, *path.rglob("*")):
        os.utime(each, (0, 0))


def break_what_can_be_mended(home):
    """Leave old kernels, a draft and a loose history behind, beside models and a download."""
    store = Store(home)
    stored.put(store, stored.manifest_of())
    stored.put(store, stored.manifest_of("Q8_0"), size_bytes=3)
    stored.begin(store, stored.manifest_of("Q6_K"))
    History(home).save(Conversation(0, "m", entries=(Entry("user", "hi"),)))
    History(home).path.chmod(0o644)
    old = settings.cache_folder() / "kernels" / OLD_KERNELS
    old.mkdir(parents=True)
    (old / "rotate.o").write_bytes(b"x" * 64)
    draft = home / ".new-abcdefgh"
    draft.write_text("half")
    age(old)
    age(draft)
    return old, draft


def test_a_machine_with_nothing_wrong(cli, home):
    result = cli("doctor", "--offline")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [line for line in lines if line and line[0] != " "][:-1] == [
        "software",
        "machine",
        "kernels",
        "models",
        "files",
        "settings",
        "network",
    ]
    assert re.search(r"^  ✓ Python +3\.", result.out, re.MULTILINE)
    assert re.search(r"^  · Hub +not asked: --offline$", result.out, re.MULTILINE)
    assert re.search(r"^    LOCALMIX_HOME +\S+home +environment$", result.out, re.MULTILINE)
    assert "✗" not in result.out
    assert "temperature" not in result.out


def test_the_last_line_says_what_to_type_next(cli, home):
    last = cli("doctor", "--offline").out.splitlines()[-1]
    assert last == 'nothing is wrong here. Next: localmix run tiny "Tell me a story"'
    (home / "hidden.json").write_text("{cut")
    last = cli("doctor", "--offline").out.splitlines()[-1]
    assert re.fullmatch(r"1 warn; \d+ good\. For an issue: localmix doctor --report", last)
    (home / "config.toml").write_text("{cut")
    break_what_can_be_mended(home)
    last = cli("doctor", "--offline").out.splitlines()[-1]
    n_mended = 2 if os.name == "nt" else 3
    wanted = rf"2 bad, \d warn; \d+ good\. To mend {n_mended} of what stands here:"
    assert re.fullmatch(f"{wanted} localmix doctor --fix", last)


def test_something_bad_is_exit_code_1_and_says_what_to_do(cli, home):
    (home / "config.toml").write_text("[defaults]\ntemprature = 1\n")
    result = cli("doctor", "--offline")
    assert (result.code, result.err) == (1, "")
    assert re.search(r"^  ✗ config.toml +cannot be used as it is$", result.out, re.MULTILINE)
    assert "key 'temprature'" in result.out
    for form in ("--json", "--report"):
        assert cli("doctor", "--offline", form).code == 1


def test_a_warning_alone_is_exit_code_0(cli, home):
    (home / "used.json").write_text("{cut")
    result = cli("doctor", "--offline")
    assert result.code == 0
    assert re.search(r"^  ! records ", result.out, re.MULTILINE)


def test_a_stream_without_such_letters_gets_plain_marks(home, monkeypatch):
    from localmix.cli.app import main

    (home / "used.json").write_text("{cut")
    (home / "config.toml").write_text("[other]")
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stdout)
    assert main(["doctor", "--offline"]) == 1
    text = stdout.buffer.getvalue().decode("latin-1")
    assert re.search(r"^  \+ Python ", text, re.MULTILINE)
    assert re.search(r"^  - Hub ", text, re.MULTILINE)
    assert re.search(r"^  ! records ", text, re.MULTILINE)
    assert re.search(r"^  x config.toml ", text, re.MULTILINE)
    assert "?" not in text


def test_a_terminal_sees_the_same_words_in_colours(cli, home):
    drawn = cli("doctor", "--offline", terminals=("stdout",)).out
    assert drawn != plain(drawn)
    steady = re.compile(r".*(memory|disk).*\n")
    assert steady.sub("", plain(drawn)) == steady.sub("", cli("doctor", "--offline").out)


def test_json_has_all_of_it(cli, home):
    (home / "config.toml").write_text("[defaults]\ntemperature = 0.2\n")
    data = json.loads(cli("doctor", "--offline", "--json").out)
    assert set(data) == {"localmix", "ok", "counts", "versions", "groups", "settings"}
    assert (data["localmix"], data["ok"]) == (__version__, True)
    assert list(data["counts"]) == ["good", "note", "warn", "bad"]
    assert data["versions"]["numpy"] == metadata.version("numpy")
    shape = {"name": str, "state": str, "text": str, "hint": str, "details": list, "can_fix": bool}
    all_findings = [finding for group in data["groups"] for finding in group["findings"]]
    for finding in all_findings:
        assert {key: type(value) for key, value in finding.items()} == shape
    assert sum(data["counts"].values()) == len(all_findings)
    by_name = {each.pop("name"): each for each in data["settings"]}
    assert by_name["temperature"] == {"value": "0.2", "source": "config.toml"}
    assert by_name["top_k"] == {"value": "40", "source": "default"}
    assert by_name["HF_TOKEN"] == {"value": "not set", "source": "default"}


def test_a_bad_finding_is_not_ok_in_json(cli, home):
    (home / "config.toml").write_text("[other]")
    data = json.loads(cli("doctor", "--offline", "--json").out)
    assert (data["ok"], data["counts"]["bad"]) == (False, 1)


def test_without_fix_nothing_is_changed(cli, home):
    break_what_can_be_mended(home)
    before = stored.files_in(home.parent)
    cli("doctor", "--offline")
    assert stored.files_in(home.parent) == before


def test_fix_mends_what_is_safe_says_so_and_has_nothing_left_to_do(cli, home):
    old, draft = break_what_can_be_mended(home)
    models = [path for path in stored.files_in(home) if path.startswith("models/")]
    first = cli("doctor", "--offline", "--fix")
    assert "1 folder of older kernels removed, 64 B freed\n" in first.err
    assert "1 file that a crash left removed\n" in first.err
    assert not old.exists()
    assert not draft.exists()
    assert "older kernels" not in first.out, "what is drawn is how it stands now"
    if os.name != "nt":
        assert "only you may read history.db now\n" in first.err
        assert History(home).path.stat().st_mode & 0o077 == 0
    second = cli("doctor", "--offline", "--fix")
    assert second.err == "there is nothing to mend\n"
    assert [p for p in stored.files_in(home) if p.startswith("models/")] == models
    assert len(History(home).latest()) == 1
    assert first.code == second.code == 1, "the model that is cut stays, and stays bad"


def test_fix_makes_missing_folders(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALMIX_HOME", str(tmp_path / "a" / "home"))
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "b" / "cache"))
    data = json.loads(cli("doctor", "--offline", "--fix", "--json").out)
    assert data["fixed"] == [
        f"{tmp_path / 'b' / 'cache' / 'kernels'} made",
        f"{tmp_path / 'a' / 'home'} made",
    ]
    assert settings.home().is_dir()
    assert (settings.cache_folder() / "kernels").is_dir()
    assert json.loads(cli("doctor", "--offline", "--fix", "--json").out)["fixed"] == []


def test_downloads_are_left_to_prune(cli, home):
    staging = stored.begin(Store(home), stored.manifest_of())
    result = cli("doctor", "--offline", "--fix")
    assert "localmix prune" in result.out
    assert stored.NAME in result.out
    assert staging.is_dir()


SECRETS = ("zoepass", "zoe", "corp", "mirror", "private", "laptop", "secret", TOKEN)


@pytest.fixture
def secrets(home, monkeypatch, tmp_path):
    """Put whatever must not be told into all places that the doctor looks at."""
    user = tmp_path / "home" / "zoe"
    place = user / "localmix"
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("USERPROFILE", str(user))
    monkeypatch.setenv("USER", "zoe")
    monkeypatch.setenv("LOCALMIX_HOME", str(place))
    monkeypatch.setenv("LOCALMIX_CACHE", "/data/zoe/cache")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.corp.lan")
    monkeypatch.setenv("HTTPS_PROXY", "http://zoe:zoepass@proxy.corp.lan:3128")
    monkeypatch.setenv("SSL_CERT_FILE", str(user / "corp.pem"))
    monkeypatch.setattr("platform.node", lambda: "laptop")
    monkeypatch.setattr("platform.platform", lambda: "Linux-laptop-7")
    store = Store(place)
    for quantization, size in (("Q4_K_M", None), ("Q8_0", 3)):
        manifest = stored.manifest_of(quantization, repo="zoe/private")
        stored.put(store, manifest, size_bytes=size)
    damaged = stored.put(store, stored.manifest_of("Q5_K_M", repo="zoe/private-2"))
    store.manifest_path(damaged).write_text("{cut")
    stored.begin(store, stored.manifest_of("Q6_K", repo="zoe/private"))
    Records(place).add(NamedFile("private", ("/data/zoe/gone.gguf",), "imported"))
    (place / "hidden.json").write_text("private")
    (place / "models.toml").write_text('private = "x"')
    (place / "config.toml").write_text('[models."private"]\nsecret = "secret"\n')
    History(place).save(Conversation(0, "private", "secret", entries=(Entry("user", "secret"),)))
    return place


def test_a_report_tells_no_secret(cli, secrets):
    result = cli("doctor", "--offline", "--report")
    assert result.code == 1
    for secret in SECRETS:
        assert secret not in result.out.lower(), secret
    assert re.search(r"LOCALMIX_HOME +~.localmix \(environment\)", result.out)
    assert re.search(r"LOCALMIX_CACHE +.data.\*\*\*.cache \(environment\)", result.out)
    assert "HTTPS_PROXY set" in result.out
    assert re.search(r"bad +files +1 file of pulled models missing", result.out)
    assert re.search(r"bad +files +1 model with a manifest", result.out)
    assert re.search(r"good +history +1 conversation saved", result.out)


def test_a_report_tells_no_words_of_config(cli, home):
    (home / "config.toml").write_text('[defaults]\nsystem = "I am Zoe"\nstop = ["Zoe"]\n')
    text = cli("doctor", "--offline", "--report").out
    assert "Zoe" not in text
    assert re.search(r"system +8 letters \(config.toml\)", text)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_nothing_that_is_written_shows_a_token_or_a_password(cli, secrets, monkeypatch, form):
    monkeypatch.setenv("HF_ENDPOINT", f"https://zoe:zoepass@mirror/{TOKEN}")
    result = cli("doctor", "--offline", *form)
    assert TOKEN not in result.out + result.err
    assert "zoepass" not in result.out + result.err
    assert "zoe/private" in result.out, "a person wants to know which model it is"


def test_a_report_is_one_block_with_versions(cli, home):
    text = cli("doctor", "--offline", "--report").out
    assert text.startswith("```text\nversions\n")
    assert text.count("```") == 2
    for name in ("localmix", "Python", "numpy", "numba", "llvmlite", "huggingface-hub", "system"):
        assert re.search(rf"^  {name} +\S", text, re.MULTILINE), name
    for name in ("CPU", "tier", "memory"):
        assert re.search(rf"^  \w+ +{name} +\S", text, re.MULTILINE), name


def test_the_hub_is_asked(cli, home, fake_hub, monkeypatch):
    found = findings(cli("doctor", "--json"))
    assert found["network", "Hub"]["state"] == "good"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fake_hub.tokens.add(TOKEN)
    found = findings(cli("doctor", "--json", "--check-token"))
    assert found["network", "token"]["text"] == "HF_TOKEN is set, and the Hub knows it"


def test_when_everything_is_broken_all_of_it_is_said(cli, tmp_path, monkeypatch):
    def no_statistics(path):
        raise OSError(38, "Function not implemented")

    version = metadata.version

    def without_numba(name):
        if name == "numba":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    for name in ("home", "cache"):
        (tmp_path / name).write_text("a file")
        monkeypatch.setenv(f"LOCALMIX_{name.upper()}", str(tmp_path / name))
    monkeypatch.setattr("shutil.disk_usage", no_statistics)
    monkeypatch.setattr("localmix.engine.memory.free_bytes", lambda: None)
    monkeypatch.setattr(metadata, "version", without_numba)
    monkeypatch.setenv("LOCALMIX_THREADS", "many")
    monkeypatch.setenv("HF_TOKEN", "two words")
    result = cli("doctor", "--offline", "--fix", "--json")
    assert (result.code, result.err) == (1, "")
    found = findings(result)
    bad = {name for name, finding in found.items() if finding["state"] == "bad"}
    assert bad == {
        ("kernels", "numba"),
        ("kernels", "folder"),
        ("models", "folder"),
        ("software", "packages"),
        ("settings", "LOCALMIX_THREADS"),
        ("settings", "HF_TOKEN"),
    }
    assert found["machine", "disk of models"]["text"] == "could not be checked: OSError (ENOSYS)"
    assert found["kernels", "kernels"]["text"] == "could not be checked: PackageNotFoundError"
    assert found["machine", "memory"]["state"] == "note"
    assert [(tmp_path / name).read_text() for name in ("home", "cache")] == ["a file"] * 2


ALONE = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from localmix.cli.app import main
code = main(["doctor", "--offline"])
sys.stderr.write(" ".join(name for name in sys.modules if sys.modules[name]))
sys.exit(code)
"""


def alone(missing=()):
    """Run in a process of its own, as if some packages could not be imported."""
    command = [sys.executable, "-c", ALONE.format(missing=missing)]
    environ = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        command, capture_output=True, env=environ, encoding="utf-8", timeout=60, check=False
    )


def test_numba_and_huggingface_hub_are_never_imported(home):
    done = alone()
    assert done.returncode == 0, done.stdout
    assert "localmix.doctor.kernels" in done.stderr.split()
    assert not set(done.stderr.split()) & {"numba", "huggingface_hub"}


def test_packages_that_cannot_be_imported_take_only_their_looks_with_them(home):
    done = alone(("llvmlite", "numpy", "urllib3", "sqlite3"))
    text = "could not be checked: ModuleNotFoundError"
    for name in ("tier", "memory", "kernels", "older kernels", "files", "network"):
        assert re.search(rf"^  ! {name} +{text}$", done.stdout, re.MULTILINE), name
    assert re.search(r"^  ✓ disk of models ", done.stdout, re.MULTILINE)
    assert re.search(r"^  ✓ models +1 embedded", done.stdout, re.MULTILINE)
    assert done.returncode == 0


def test_help_shows_it_last_of_the_commands_on_the_machine(cli):
    text = cli("--help").out
    assert text.index("warmup") < text.index("doctor")
    assert "localmix doctor --fix" in cli("doctor", "--help").out
