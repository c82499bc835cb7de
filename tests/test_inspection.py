"""TShark's view: algorithms and certificates without keys, contents with them, a clear word where it is missing."""

import contextlib
import random
import shutil
import ssl
import subprocess

import pytest

from netexfil import inspection, read_sessions
from netexfil.errors import NetexfilError
from netexfil.read import core_available
from netexfil.simulate import Options, simulate, wire

pytestmark = [
    pytest.mark.skipif(shutil.which("tshark") is None, reason="no TShark on this machine (Debian: apt-get install tshark)"),
    pytest.mark.skipif(not core_available(), reason="the core is not built"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),  # pyshark's event loop
]
pytest.importorskip("pyshark", reason="pyshark is not installed (extra `inspect`)")


def uid_of(capture):
    return max(read_sessions([capture]), key=lambda row: row["orig_pkts"])["uid"]


def test_ssh_algorithms(tmp_path):
    capture = simulate(["test1-rclone-sftp"], tmp_path, Options(size=20_000))[0]
    found = inspection.inspect([str(capture)], uid_of(capture))
    said = {word: value for seen in reversed(found.seen) for word, value in seen.says.items()}
    assert said["banner"] == "SSH-2.0-rclone/v1.66.0"
    assert "aes128-gcm@openssh.com" in said["ciphers"]
    assert found.seen[0].source == "10.20.30.41"


def test_certificate_and_server_name(tmp_path):
    capture = simulate(["https-altport"], tmp_path, Options(size=20_000))[0]
    found = inspection.inspect([str(capture)], uid_of(capture))
    assert [seen.says["certificate names"] for seen in found.seen if "certificate names" in seen.says] == ["upload"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make a certificate with")
def test_contents_where_keys_allow(tmp_path):
    capture, keys = encrypted_post(tmp_path)
    uid = uid_of(capture)
    assert not [seen for seen in inspection.inspect([str(capture)], uid).seen if seen.layer == "http"]
    said = [seen.says for seen in inspection.inspect([str(capture)], uid, keys).seen if seen.layer == "http"]
    assert said[0]["method"] == "POST"
    assert said[0]["path"] == "/up/q3.xlsx"


def encrypted_post(folder):
    """A real TLS 1.3 exchange, made in memory, as a capture; and its key log."""
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            folder / "k.pem",
            "-out",
            folder / "c.pem",
            "-days",
            "9",
            "-subj",
            "/CN=up.example",
        ],
        check=True,
        capture_output=True,
    )
    inside = ssl.create_default_context()
    inside.check_hostname, inside.verify_mode, inside.keylog_filename = False, ssl.CERT_NONE, str(folder / "keys.log")
    outside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    outside.load_cert_chain(folder / "c.pem", folder / "k.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = inside.wrap_bio(to_client, to_server, server_hostname="up.example")
    server = outside.wrap_bio(to_server, to_client, server_side=True)
    c = wire.Conversation(random.Random(1), "tcp", ("10.0.0.5", 50_000), ("192.0.2.9", 443), 1.7e9, wire.Path_())
    c.connect()
    wires = {True: to_server, False: to_client}

    def turn(out, act):
        with contextlib.suppress(ssl.SSLWantReadError):
            act()
        if wires[out].pending:
            data = wires[out].read()
            c.send(out, data)
            wires[out].write(data)

    for _ in range(3):
        turn(True, client.do_handshake)
        turn(False, server.do_handshake)
    turn(True, lambda: client.write(b"POST /up/q3.xlsx HTTP/1.1\r\nHost: up.example\r\nContent-Length: 5\r\n\r\nhello"))
    turn(False, lambda: server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    c.close()
    wire.write_pcap(folder / "post.pcap", wire.merged([c], [(c.orig, c.resp)]))
    return folder / "post.pcap", folder / "keys.log"


def test_missing_tshark_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NetexfilError, match="needs TShark"):
        inspection.inspect(["x.pcap"], "C1")
