"""Downloads against a server that drops connections, ignores ranges, sends wrong bytes and web pages."""

import base64
import hashlib
import io
import json
import re
from pathlib import PurePosixPath

import numpy as np
import pytest
import replica

from patch2loc.acquire import download, unpack
from patch2loc.errors import InputError

pytestmark = pytest.mark.usefixtures("impatient")
CONTENT = np.random.default_rng(1).bytes(1_000_000)


@pytest.fixture
def server():
    with replica.serve({"/scans.tar": CONTENT}) as server:
        yield server


@pytest.fixture
def row(server):
    return {
        "file": "scans.tar",
        "url": f"{server.address}/scans.tar",
        "bytes": str(len(CONTENT)),
        "checksum": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
        "fetch": "file",
    }


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_arrives_once(server, row, tmp_path):
    assert download.fetch(row, tmp_path) == [tmp_path / "scans.tar"]
    download.fetch(row, tmp_path)  # verified, not fetched again
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT
    assert left(tmp_path) == ["scans.tar"]
    assert len(server.requests) == 1


def test_a_broken_connection_is_resumed_where_it_broke(server, row, tmp_path):
    server.faults["/scans.tar"] = ["drop", "drop"]
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT
    starts = [int(asked.strip("bytes=-")) for _, asked, _, _ in server.requests[1:]]
    assert len(starts) == 2
    assert 400_000 < starts[0] <= 500_000  # half, but for the piece that was under way
    assert starts[0] + 200_000 < starts[1] <= 750_000
    assert all(condition.startswith('"') for _, _, condition, _ in server.requests[1:])
    assert left(tmp_path) == ["scans.tar"]


def test_a_later_call_goes_on_with_the_part(server, row, tmp_path, monkeypatch):
    server.faults["/scans.tar"] = ["drop"]
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(InputError, match=r"bytes are kept, run again to go on"):
        download.fetch(row, tmp_path)
    kept = (tmp_path / "scans.tar.part").stat().st_size
    assert not (tmp_path / "scans.tar").exists()
    assert CONTENT.startswith((tmp_path / "scans.tar.part").read_bytes())
    download.fetch(row, tmp_path)
    assert server.requests[-1][1] == f"bytes={kept}-"
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT


def test_a_server_that_ignores_the_range_starts_again(server, row, tmp_path):
    server.faults["/scans.tar"] = ["drop", "ignore range"]
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT
    assert server.requests[1][1] is not None


def test_a_file_that_changed_in_between_is_not_mixed(server, row, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.faults["/scans.tar"] = ["drop"]
    unchecked = {**row, "bytes": "", "checksum": ""}
    with pytest.raises(InputError):
        download.fetch(unchecked, tmp_path)
    server.files["/scans.tar"] = CONTENT[::-1]
    download.fetch(unchecked, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT[::-1]


def test_without_validator_and_checksum_nothing_is_resumed(server, row, tmp_path):
    server.etags = False
    server.faults["/scans.tar"] = ["drop"]
    download.fetch({**row, "bytes": "", "checksum": ""}, tmp_path)
    assert [asked for _, asked, _, _ in server.requests] == [None, None]
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT


def test_a_complete_part_gets_its_name(server, row, tmp_path):
    (tmp_path / "scans.tar.part").write_bytes(CONTENT)
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_part_that_is_too_long_is_given_up(server, row, tmp_path):
    (tmp_path / "scans.tar.part").write_bytes(CONTENT + b"more")
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT


def test_a_wrong_checksum_is_tried_once_more(server, row, tmp_path, capsys):
    server.faults["/scans.tar"] = ["corrupt"]
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT
    assert [asked for _, asked, _, _ in server.requests] == [None, None]
    assert "downloading it once more" in capsys.readouterr().out


def test_two_downloads_that_differ_are_errors_of_the_transfer_and_leave_nothing(server, row, tmp_path):
    server.faults["/scans.tar"] = ["corrupt", "corrupt otherwise"]
    with pytest.raises(
        InputError, match=r"sha256 [0-9a-f]{64} expected, and something else the time before: the tran"
    ):
        download.fetch(row, tmp_path)
    assert len(server.requests) == 2
    assert left(tmp_path) == []


def refused(*arguments, **named):
    with pytest.raises(InputError) as caught:
        download.fetch(*arguments, **named)
    return str(caught.value)


def test_another_release_is_kept_aside_and_named_and_not_used(server, row, tmp_path):
    """The source has a file of another size, with another checksum than the registry: the same at each download."""
    server.files["/scans.tar"] = release = CONTENT + b"of this year"
    found, expected = (f"sha256:{hashlib.sha256(content).hexdigest()}" for content in (release, CONTENT))
    said = refused(row, tmp_path, roots=["data/ixi/IXI-T1"])
    assert f"1,000,012 bytes, {found.replace(':', ' ')} found" in said
    assert f"1,000,000 bytes, {expected.replace(':', ' ')} expected, twice the same" in said
    assert f"kept as {tmp_path}/scans.tar.other-release, and nothing of it is used" in said
    assert "unpack it yourself under data/ixi/IXI-T1/" in said
    assert f"checksums: {{scans.tar: '{found}'}}" in said
    assert (tmp_path / "scans.tar.other-release").read_bytes() == release
    assert left(tmp_path) == ["scans.tar.other-release"]
    assert unpack.waiting(tmp_path) == []  # of what is to be unpacked

    # Nothing is downloaded a third time.
    again = refused(row, tmp_path, roots=["data/ixi/IXI-T1"])
    assert f"{tmp_path}/scans.tar.other-release: 1,000,012 bytes" in again
    assert f"checksums: {{scans.tar: '{found}'}}" in again
    assert len(server.requests) == 2

    # Trusted by the configuration: it gets its name, without a download.
    download.fetch({**row, "bytes": "", "checksum": found}, tmp_path)
    assert left(tmp_path) == ["scans.tar"]
    assert (tmp_path / "scans.tar").read_bytes() == release
    assert len(server.requests) == 2


def test_without_the_file_kept_aside_it_is_downloaded_anew(server, row, tmp_path):
    server.files["/scans.tar"] = b"another release"
    refused(row, tmp_path)
    (tmp_path / "scans.tar.other-release").unlink()
    server.files["/scans.tar"] = CONTENT  # the source has repaired it
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT


def test_an_accident_at_the_first_download_keeps_nothing_aside(server, row, tmp_path):
    server.faults["/scans.tar"] = ["corrupt"]
    download.fetch(row, tmp_path)
    assert left(tmp_path) == ["scans.tar"]


def test_a_wrong_size_is_named(server, row, tmp_path):
    assert re.search(
        "1,000,000 bytes, .* found, 999,999 bytes, .* expected", refused({**row, "bytes": "999999"}, tmp_path)
    )
    assert left(tmp_path) == ["scans.tar.other-release"]


def test_a_wrong_file_that_was_put_there_by_hand_is_named_and_stays(server, row, tmp_path):
    (tmp_path / "scans.tar").write_bytes(b"by hand")
    said = refused(row, tmp_path)
    assert f"{tmp_path}/scans.tar: 7 bytes" in said
    assert f"checksums: {{scans.tar: 'sha256:{hashlib.sha256(b'by hand').hexdigest()}'}}" in said
    assert (tmp_path / "scans.tar").read_bytes() == b"by hand"
    assert server.requests == []


@pytest.mark.parametrize("fault", ["page", "unnamed page"])
def test_a_web_page_is_no_archive(server, row, tmp_path, fault):
    server.faults["/scans.tar"] = [fault]
    with pytest.raises(
        InputError, match=r"web page found, scans.tar expected.*Please sign in.*put the file at"
    ):
        download.fetch(row, tmp_path)
    assert left(tmp_path) == []
    download.fetch(row, tmp_path)  # the page came once
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT


def test_a_web_page_after_a_broken_connection_is_not_appended(server, row, tmp_path):
    server.faults["/scans.tar"] = ["drop", "page"]
    with pytest.raises(InputError, match="web page"):
        download.fetch(row, tmp_path)
    assert left(tmp_path) == []


def test_a_busy_server_is_asked_again(server, row, tmp_path):
    server.faults["/scans.tar"] = ["busy", "busy", "busy"]
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT
    assert len(server.requests) == 4


def test_everything_at_once(server, row, tmp_path):
    server.faults["/scans.tar"] = ["busy", "drop", "corrupt", "busy", "drop", "ignore range"]
    download.fetch(row, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT
    assert server.faults["/scans.tar"] == []
    assert left(tmp_path) == ["scans.tar"]


@pytest.mark.parametrize("scheme", ["file", "ftp"])
def test_no_server_sends_the_reader_to_a_file_of_this_machine(server, row, tmp_path, scheme):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    server.faults["/scans.tar"] = [f"{scheme}://{secret}"]
    with pytest.raises(
        InputError, match=rf"^{server.address}/scans.tar: redirected to {scheme}://.*not safe"
    ):
        download.fetch(row | {"checksum": ""}, tmp_path / "data")
    assert not (tmp_path / "data/scans.tar").exists()


def test_an_answer_may_lead_to_another_address_of_the_web(server, row, tmp_path):
    server.files["/moved.tar"] = CONTENT
    server.faults["/scans.tar"] = [f"{server.address}/moved.tar"]
    assert download.fetch(row, tmp_path)[0].read_bytes() == CONTENT


def test_https_does_not_lead_to_http():
    response = download.requests.Response()
    response.status_code, response.url = 302, "https://example.org/a"
    response.headers["Location"] = "http://example.org/b"
    with download.open_session() as session, pytest.raises(InputError, match="redirected to http://"):
        session.get_redirect_target(response)


def test_the_password_of_a_mirror_is_in_no_message(server, row, tmp_path, capsys):
    mirror = server.address.replace("://", "://jane:se%40cret@")
    download.fetch(row, tmp_path, mirror)
    with pytest.raises(InputError) as missing:
        download.fetch(row | {"file": "none.tar"}, tmp_path, mirror)
    said = "".join(capsys.readouterr()) + str(missing.value)
    assert f"{server.address}/scans.tar" in said
    assert "jane" not in said
    assert "cret" not in said
    assert server.authorizations[0] == "Basic " + base64.b64encode(b"jane:se@cret").decode()


def test_far_more_than_is_expected_is_not_read_to_its_end(server, row, tmp_path):
    server.files["/scans.tar"] = 5 * CONTENT
    assert "5,000,000 bytes found, at most 1,048,596 expected" in refused({**row, "bytes": "10"}, tmp_path)
    assert len(server.requests) == 1
    assert left(tmp_path) == []


def test_a_missing_file_is_named(server, row, tmp_path):
    with pytest.raises(InputError, match=r"404 .*put it at .*scans.tar"):
        download.fetch({**row, "url": f"{server.address}/none.tar"}, tmp_path)
    assert left(tmp_path) == []
    assert len(server.requests) == 1


def test_no_server_is_an_input_error(row, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    with pytest.raises(InputError, match="could not be downloaded"):
        download.fetch({**row, "url": "http://127.0.0.1:9/scans.tar"}, tmp_path)


def test_file_addresses_work_and_a_mirror_may_be_a_folder(row, tmp_path):
    source = tmp_path / "mirror of ours"
    source.mkdir()
    (source / "scans.tar").write_bytes(CONTENT)
    download.fetch({**row, "url": (source / "scans.tar").as_uri()}, tmp_path / "a")
    download.fetch(row, tmp_path / "b", mirror=source.as_uri())
    assert (tmp_path / "a/scans.tar").read_bytes() == (tmp_path / "b/scans.tar").read_bytes() == CONTENT
    with pytest.raises(InputError, match="404"):
        download.fetch({**row, "url": (source / "none").as_uri()}, tmp_path / "c")


def test_a_damaged_file_that_is_there_is_not_taken(row, tmp_path):
    (tmp_path / "scans.tar").write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=r"999,999 bytes, .* found, 1,000,000 bytes, .* expected"):
        download.fetch(row, tmp_path)


def test_a_proxy_of_the_environment_is_used(server, row, tmp_path, monkeypatch):
    """The server takes the place of a proxy: it is asked for a file of a host that does not exist."""
    monkeypatch.setenv("http_proxy", server.address)
    download.fetch({**row, "url": "http://no.such.host.invalid/scans.tar"}, tmp_path)
    assert (tmp_path / "scans.tar").read_bytes() == CONTENT


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_drawn_on_a_terminal_only(row, tmp_path):
    drawn, plain = Terminal(), io.StringIO()
    download.fetch(row, tmp_path / "a", progress=drawn)
    download.fetch(row, tmp_path / "b", progress=plain)
    assert "scans.tar: 100%" in drawn.getvalue()
    assert plain.getvalue() == ""


@pytest.fixture
def listing():
    return {
        "file": "doi:10.34894/AECRSD",
        "url": "https://a.dataverse.invalid/dataset.xhtml?persistentId=doi:10.34894/AECRSD",
        "bytes": "",
        "checksum": "",
        "fetch": "dataverse",
    }


def wanted(path):
    return unpack.is_needed("wmh", path)


def test_a_dataverse_dataset_is_downloaded_by_its_own_list(tmp_path, listing):
    files = replica.wmh()
    with replica.serve(replica.dataverse(files)) as server:
        server.faults["/api/access/datafile/1001"] = ["drop", "corrupt"]
        paths = download.fetch(listing, tmp_path, server.address, is_needed=wanted)
        asked = {path for path, _, _, _ in server.requests}
    training = {path for path in files if path.startswith("training/")}
    assert {path.relative_to(tmp_path).as_posix() for path in paths} == training
    assert len(training) == 15
    for path in training:
        assert (tmp_path / path).read_bytes() == files[path]
    assert len(asked) == 1 + 15  # neither the test scans nor the read-me


def test_files_of_a_dataverse_that_are_at_hand_are_passed_over(tmp_path, listing):
    files = replica.wmh()
    with replica.serve(replica.dataverse(files)) as server:
        paths = download.fetch(
            listing,
            tmp_path,
            server.address,
            is_needed=wanted,
            is_at_hand=lambda path: path.name == "T1.nii.gz",
        )
        n_requests = len(server.requests)
    assert {path.name for path in paths} == {"FLAIR.nii.gz", "wmh.nii.gz"}
    assert n_requests == 1 + len(paths)


def test_a_file_of_a_dataverse_that_differs_from_its_list_twice_is_named_and_not_kept(tmp_path, listing):
    served = replica.dataverse(replica.wmh())
    served["/api/access/datafile/1000"] = b"another file"
    with replica.serve(served) as server:
        said = refused(listing, tmp_path, server.address, is_needed=wanted)
    assert "twice the same: the source has another file than is known here" in said
    assert "checksums:" not in said  # it is the list that says otherwise, not the registry
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_dataverse_may_be_mirrored_in_a_folder(tmp_path, listing):
    files = replica.wmh()
    for path, content in replica.dataverse(files).items():
        file = tmp_path / "mirror" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    paths = download.fetch(listing, tmp_path / "out", (tmp_path / "mirror").as_uri(), is_needed=wanted)
    assert len(paths) == 15


def test_a_list_that_leads_out_of_the_folder_is_refused(tmp_path, listing):
    harmful = replica.dataverse({"../training/Utrecht/0/wmh.nii.gz": b"x"})
    with (
        replica.serve(harmful) as server,
        pytest.raises(InputError, match="leads out of the target folder"),
    ):
        download.fetch(listing, tmp_path / "out", server.address, is_needed=lambda path: True)
    assert not (tmp_path / "training").exists()


def listed(*files):
    return {"/api/datasets/:persistentId": json.dumps({"data": {"latestVersion": {"files": files}}}).encode()}


ENTRY = {"label": "a.zip", "dataFile": {"id": 1, "md5": 32 * "0", "filesize": 3}}


@pytest.mark.parametrize(
    ("served", "said"),
    [
        (listed({"label": "a.zip"}), r"no list of the files of doi.*KeyError"),
        (listed("a text"), r"no list of the files of doi.*TypeError"),
        (listed(*"files"), "no list of the files of doi"),
        (listed({**ENTRY, "dataFile": "a text"}), "no list of the files of doi"),
        (
            listed({"label": "a", "dataFile": {"id": 1, "checksum": {"type": "CRC", "value": "1"}}}),
            "ValueError",
        ),
        (listed({**ENTRY, "dataFile": {"id": 1, "filesize": "large"}}), "ValueError"),
        (listed(ENTRY, ENTRY), "a.zip is listed twice, one file of a name expected"),
        ({"/api/datasets/:persistentId": replica.PAGE}, "no list of the files of doi"),
        ({"/api/datasets/:persistentId": b'{"status": "ERROR"}'}, "no list of the files of doi"),
        ({}, "no list of the files of doi"),
        (replica.dataverse({"readme.txt": b"x"}), "1 files listed, none of them a scan"),
    ],
)
def test_no_list_of_files_is_an_input_error(tmp_path, listing, served, said):
    with replica.serve(served) as server, pytest.raises(InputError, match=said):
        download.fetch(listing, tmp_path, server.address, is_needed=wanted)


def test_only_scans_of_the_training_and_archives_are_wanted():
    assert wanted(PurePosixPath("training/Utrecht/0/orig/T1.nii.gz"))
    assert wanted(PurePosixPath("training.zip"))
    assert not wanted(PurePosixPath("test/Utrecht/1/orig/T1.nii.gz"))
    assert not wanted(PurePosixPath("readme.txt"))
