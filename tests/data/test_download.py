"""Downloads against a local server: resumed, pinned, refused; and archives that mean harm."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import socket
import stat
import threading
import time
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest
from click.testing import CliRunner
from gzsl_data_factory import write_xlsa17

from gzsl_bench.cli.data import data_group
from gzsl_bench.data import archive, download
from gzsl_bench.data.archive import extract
from gzsl_bench.data.download import fetch
from gzsl_bench.errors import DataError


class Server:
    """What the server sends, how it misbehaves, and what it was asked for."""

    def __init__(self) -> None:
        self.body = b""
        self.tag = '"one"'
        self.ranges = True
        self.break_after: list[int] = []
        self.status = 200
        self.kind = "application/zip"
        self.announce = True
        self.asked: list[str | None] = []
        self.url = ""


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args: Any) -> None:
        self.it = server
        super().__init__(*args)

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        it = self.it
        asked = self.headers.get("Range")
        it.asked.append(asked)
        start = 0
        if it.status != 200:
            self.send_response(it.status)
            self.end_headers()
            return
        if_range = self.headers.get("If-Range")
        if asked and it.ranges and if_range in (None, it.tag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(it.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(it.body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(it.body) - 1}/{len(it.body)}")
        else:
            self.send_response(200)
        if it.announce:
            self.send_header("Content-Length", str(len(it.body) - start))
        self.send_header("Content-Type", it.kind)
        if it.tag:
            self.send_header("ETag", it.tag)
        self.end_headers()
        end = start + it.break_after.pop(0) if it.break_after else len(it.body)
        self.wfile.write(it.body[start:end])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    it = Server()
    folder = write_xlsa17(tmp_path / "source" / "TINY")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("xlsa17/README.txt", "read me")
        bundle.writestr("xlsa17/code/evaluate.m", "no")
        for file in sorted(folder.iterdir()):
            bundle.write(file, f"xlsa17/data/TINY/{file.name}")
            bundle.write(file, f"xlsa17/data/OTHER/{file.name}")
        bundle.writestr("xlsa17/data/TINY/virus.exe", "no")
    it.body = buffer.getvalue()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, it))
    it.url = f"http://127.0.0.1:{httpd.server_address[1]}/files/tiny.zip"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield it
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def get(server: Server, target: Path) -> bytes:
    return fetch(server.url, target, wait=0.0)[0].read_bytes()


def test_a_download_is_reported_and_pinned_and_not_repeated(server: Server, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path, digest = fetch(server.url, target, lambda there, total: seen.append((there, total)))
    assert path.read_bytes() == server.body
    assert seen[-1] == (len(server.body), len(server.body))
    book = json.loads((target / "checksums.json").read_text())
    assert book[server.url]["sha256"] == digest
    fetch(server.url, target)
    assert server.asked == [None]
    assert [p.name for p in (target / ".downloads").iterdir()] == [path.name]


def test_a_broken_connection_is_resumed_where_it_broke(server: Server, target: Path) -> None:
    server.break_after = [1000, 500]
    assert get(server, target) == server.body
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_a_later_call_resumes_what_an_earlier_one_left(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.break_after = [1000]
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    with pytest.raises(DataError, match=r"stopped after 1000 bytes .* again to resume it"):
        get(server, target)
    assert get(server, target) == server.body
    assert server.asked == [None, "bytes=1000-"]


def test_a_server_without_ranges_restarts(server: Server, target: Path) -> None:
    server.break_after, server.ranges = [1000], False
    assert get(server, target) == server.body


def test_a_file_that_changed_meanwhile_is_not_glued_to_the_old_start(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.break_after = [1000]
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    with pytest.raises(DataError):
        get(server, target)
    server.body, server.tag = server.body + b"more", '"two"'
    assert get(server, target) == server.body


@pytest.mark.parametrize("tag", ['"one"', ""])
def test_a_part_that_is_already_whole_is_taken(server: Server, target: Path, tag: str) -> None:
    server.tag = tag
    path = fetch(server.url, target)[0]
    path.rename(path.with_name(path.name + ".part"))
    assert get(server, target) == server.body
    assert server.asked == [None, f"bytes={len(server.body)}-"]


def test_a_part_that_is_too_long_is_thrown_away(server: Server, target: Path) -> None:
    path = fetch(server.url, target)[0]
    path.unlink()
    path.with_name(path.name + ".part").write_bytes(server.body + b"too much")
    assert get(server, target) == server.body


@pytest.mark.parametrize("where", ["headers", "body", "chunks"])
def test_a_server_that_creeps_is_given_up(
    where: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then keeps every socket's timeout from ending: it would take years."""
    monkeypatch.setattr(download, "_TIMEOUT", 0.3)
    monkeypatch.setattr(download, "_ATTEMPTS", 2)
    begin = {
        "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nPK\x03\x04",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    }[where]
    asked = []

    def creep(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            asked.append(connection.recv(1 << 16))
            connection.sendall(begin)
            while True:
                connection.sendall(b"0")
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(
                        target=creep, args=(listening.accept()[0],), daemon=True
                    ).start()

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(
            DataError, match=r"stopped after .* \(less than 64 kB came within 0 s\)"
        ):
            fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/a.zip", target, wait=0.0)
        listening.shutdown(socket.SHUT_RDWR)
    assert len(asked) == 2


def test_a_body_without_end_is_not_taken(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MOST", 1000)
    server.announce, server.body = False, b"PK\x03\x04" + bytes(300_000)
    with pytest.raises(DataError, match="more than 1000 bytes, so it is no archive"):
        get(server, target)
    server.announce = True
    with pytest.raises(DataError, match="has 300004 bytes; there is room for 1000"):
        get(server, target)
    assert not [p for p in target.rglob("*.part") if p.stat().st_size]


def test_an_html_page_is_refused_and_not_kept(server: Server, target: Path) -> None:
    server.body, server.kind = b"<html>Not found</html>", "text/html; charset=utf-8"
    with pytest.raises(DataError, match="is no zip archive: the server sent text/html that begins"):
        get(server, target)
    assert not list((target / ".downloads").glob("*.part"))
    assert not (target / "checksums.json").exists()


def test_a_cut_archive_of_unannounced_size_is_refused(server: Server, target: Path) -> None:
    server.announce, server.break_after = False, [1000]
    with pytest.raises(DataError, match="truncated or damaged zip archive"):
        get(server, target)
    assert not (target / "checksums.json").exists()
    assert get(server, target) == server.body


def test_an_empty_answer_is_refused(server: Server, target: Path) -> None:
    server.body = b""
    with pytest.raises(DataError, match="is empty"):
        get(server, target)


def test_an_error_of_the_server_is_passed_on(server: Server, target: Path) -> None:
    server.status = 404
    with pytest.raises(DataError, match="the server answers 404"):
        get(server, target)
    assert len(server.asked) == 1


def test_another_content_than_at_first_use_is_refused(server: Server, target: Path) -> None:
    fetch(server.url, target)[0].unlink()
    server.body += b"changed"
    with pytest.raises(DataError, match=r"records .* for it, so it was kept as .*refused"):
        get(server, target)
    assert list((target / ".downloads").glob("*.refused"))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y.zip", "nonsense", "http://x/"])
def test_other_addresses_are_refused(url: str, target: Path) -> None:
    with pytest.raises(DataError, match="no address of a file"):
        fetch(url, target)


def test_a_server_that_is_not_there(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    with pytest.raises(DataError, match="stopped after 0 bytes"):
        fetch("http://127.0.0.1:9/x.zip", target, wait=0.0)


def make_zip(path: Path, members: dict[str, bytes], mode: int = 0, pack: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED) as z:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = z.compression
            z.writestr(info, content)
    return path


def test_only_known_members_of_wanted_data_sets_come_out(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "a.zip"
    source.write_bytes(server.body)
    out = extract(source, tmp_path / "out", ["TINY"])
    written = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    assert written - {".downloads"} == set(out.written)
    assert all(name.startswith("TINY/") and name[-4:] in (".mat", ".txt") for name in out.written)
    again = extract(source, tmp_path / "out", ["TINY"])
    assert again.written == ()
    assert again.kept == out.written


@pytest.mark.parametrize(
    "name", ["/TINY/a.mat", "../TINY/a.mat", "x/../TINY/a.mat", "C:/TINY/a.mat", "..\\TINY\\a.mat"]
)
def test_a_member_that_points_outside_makes_the_archive_refused(name: str, tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": b"1", name: b"2"})
    with pytest.raises(DataError, match="points outside the folder"):
        extract(source, tmp_path / "out", ["TINY"])
    assert not (tmp_path / "out").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": b"/etc/passwd"}, stat.S_IFLNK | 0o777)
    with pytest.raises(DataError, match="is a link or a special file"):
        extract(source, tmp_path / "out", ["TINY"])


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": bytes(1 << 25)}, pack=True)
    with pytest.raises(DataError, match="unpacks to more than 200 times its packed size"):
        extract(source, tmp_path / "out", ["TINY"])
    monkeypatch.setattr(archive, "MAX_FILE", 1000)
    with pytest.raises(DataError, match="more than 1000 allowed"):
        extract(source, tmp_path / "out", ["TINY"])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("CON/a.mat", "no name"), ("TINY/nul.mat", "no name"), ("TINY./a.mat", "no name"),
     ("TINY/a\x1b[2J.mat", "no name"), ("TINY/" + "a" * 2000, "no name"),
     ("tiny/A.mat", None)],
)  # fmt: skip
def test_names_that_some_system_reads_otherwise(
    name: str, sentence: str | None, tmp_path: Path
) -> None:
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": b"1", name: b"2"})
    if sentence is None:  # one file where case does not count
        with pytest.raises(DataError, match="which are one file on some systems"):
            extract(source, tmp_path / "out", ["TINY", "tiny"])
    else:
        with pytest.raises(DataError, match=f"is refused: its member .* is {sentence} of a file"):
            extract(source, tmp_path / "out", ["TINY"])
    assert not (tmp_path / "out").exists()


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """What a bomb of overlapping members is made of: two entries for the same place."""
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": b"1" * 900, "TINY/b.mat": b"2" * 900})
    content = bytearray(source.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = bytes(4)  # the offset of its local header
    source.write_bytes(bytes(content))
    with pytest.raises(DataError, match="overlap"):
        extract(source, tmp_path / "out", ["TINY"])


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    source = make_zip(tmp_path / "a.zip", {f"TINY/{n}.mat": b"1" for n in range(4)})
    with pytest.raises(DataError, match="4 members, more than 3 allowed"):
        extract(source, tmp_path / "out", ["TINY"])


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": b"1"})
    content = bytearray(source.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(bytes(content))
    with pytest.raises(DataError, match="is encrypted"):
        extract(source, tmp_path / "out", ["TINY"])


def test_a_damaged_member_leaves_nothing(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": b"1" * 50, "TINY/b.mat": b"2" * 50})
    source.write_bytes(source.read_bytes().replace(b"2" * 50, b"3" * 50))
    with pytest.raises(DataError, match="is damaged and cannot be unpacked"):
        extract(source, tmp_path / "out", ["TINY"])
    assert not (tmp_path / "out" / "TINY").exists()


def test_an_archive_that_lacks_a_data_set_says_what_it_has(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"x/TINY/a.mat": b"1"})
    with pytest.raises(DataError, match="holds no data set 'CUB'; it holds: TINY"):
        extract(source, tmp_path / "out", ["CUB"])


def test_two_members_for_one_file_are_refused(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"x/TINY/a.mat": b"1", "y/TINY/a.mat": b"2"})
    with pytest.raises(DataError, match=r"holds TINY/a.mat twice"):
        extract(source, tmp_path / "out", ["TINY"])


def test_a_file_of_the_user_is_never_overwritten_unasked(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"TINY/a.mat": b"1", "TINY/b.mat": b"2"})
    mine = tmp_path / "out" / "TINY" / "b.mat"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match="exists with another content"):
        extract(source, tmp_path / "out", ["TINY"])
    assert [p.name for p in mine.parent.iterdir()] == ["b.mat"]
    extract(source, tmp_path / "out", ["TINY"], replace=True)
    assert mine.read_bytes() == b"2"


def test_get_on_the_command_line(server: Server, target: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(
            data_group, ["get", "TINY", "--url", server.url, "--data", str(target)]
        )
    assert result.exit_code == 0, result.output
    assert f"{target}/TINY/res101.mat" in result.stdout.splitlines()
    assert "sha256" in result.stderr
    assert (target / "TINY" / "att_splits.mat").is_file()
    assert not (target / "OTHER").exists()
    checked = CliRunner().invoke(data_group, ["check", "TINY", "--data", str(target), "--json"])
    assert json.loads(checked.stdout)[0]["images"] == 30


def test_a_second_download_into_a_folder_waits_and_is_refused(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gzsl_bench.cli.data._PATIENCE", 0.05)
    lock = target / download.DOWNLOADS_FOLDER / "lock"
    lock.parent.mkdir(parents=True)
    asked = ["get", "TINY", "--url", server.url, "--data", str(target)]
    with filelock.FileLock(lock):
        refused = CliRunner().invoke(data_group, asked)
    assert isinstance(refused.exception, DataError)
    assert str(lock) in str(refused.exception)
    assert not server.asked
