"""One file of the fake Hub on its way to a folder, without the Hub's own library."""

from localmix.registry.download.journal import arrived_parts, journal_path
from localmix.registry.download.patience import Patience
from localmix.registry.download.ranges import Link
from localmix.registry.download.source import Source
from localmix.registry.download.transfer import fetch
from localmix.registry.manifest import RepoFile
from support.fake_hub import sha256
from support.stored import REPO

FILE = "Model-Q4_K_M.gguf"
PART = 1 << 18

QUICK = Patience(tries=3, first_s=0.001, longest_s=0.002)
STALLS_SOON = Patience(tries=3, first_s=0.001, longest_s=0.002, stall_s=0.3)


class Fetching:
    def __init__(self, fake_hub, folder, content, **repo):
        self.fake_hub, self.content = fake_hub, content
        self.repo = fake_hub.add(REPO, {FILE: content}, **repo)
        self.file = RepoFile(FILE, len(content), sha256(content))
        self.place = folder / f"{FILE}.part"
        self.n_links = 0

    def new_link(self):
        self.n_links += 1
        return Link(self.fake_hub.link(REPO, self.repo, FILE, self.content))

    def source(self, patience=QUICK, **more):
        return Source(self.file, self.new_link, patience, **more)

    def fetch(self, on_progress=lambda progress: None, patience=QUICK, part_bytes=PART, **more):
        """Fetch it, and say how many bytes of bodies were sent for it."""
        before = self.fake_hub.sent_bytes
        fetch(
            self.file, self.place, self.new_link, on_progress, patience, part_bytes=part_bytes,
            **more,
        )  # fmt: skip
        return self.fake_hub.sent_bytes - before

    def interrupt(self, when, **more):
        """Fetch it until a progress is as `when` wants it, and press Ctrl-C then."""

        def on_progress(progress):
            if when(progress):
                raise KeyboardInterrupt

        try:
            self.fetch(on_progress, **more)
        except KeyboardInterrupt:
            return
        raise AssertionError("it was over before")

    def arrived(self):
        return arrived_parts(journal_path(self.place), self.file)

    def is_right(self):
        return self.place.read_bytes() == self.content[:]

    def journal(self):
        return journal_path(self.place)
