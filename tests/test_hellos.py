"""What the first bytes tell, held against the truth of real captures: our lab's tools, and the JA4 project's own expectations."""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb
import pytest

from netexfil import read, tables
from netexfil.policy import Policy

ROOT = Path(__file__).parent.parent
CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", ROOT.parent / "shared" / "corpus"))
JA4 = CORPUS / "network" / "pcap" / "ja4"

pytestmark = [
    pytest.mark.skipif(not read.core_available(), reason="the core is not built"),
    pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}"),
]

CURL = ("0149f47eabf9a20d0893e2a44e5a6323", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6")
PYTHON = ("d39e1be3241d516b1f714bd47c2bc968", "t13d311100_e8f1e7e78f70_d41ae481755e")


def rows(path, columns, where):
    from netexfil.read import capture

    con = duckdb.connect()
    tables.create(con)
    capture.read(con, [str(path)], read.Options(), Policy())
    return con.execute(f"SELECT DISTINCT {columns} FROM session WHERE {where} ORDER BY ALL").fetchall()


@pytest.mark.parametrize(
    ("name", "client", "hassh"),
    [
        ("d01-rclone-sftp.pcap", "SSH-2.0-rclone/", "4e066189c3bbeec38c99b1855113733a"),
        ("d02-pscp.pcap", "SSH-2.0-PuTTY_Release_0.78", "10d5550e526d158ce7ad2f18cf621f66"),
        ("d21-paramiko.pcap", "SSH-2.0-paramiko_5.1.0", "4c94058d5e9e31659879f79fd5b46084"),
        ("d30-ssh443-tls22.pcap", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10", "472b5de333ad665af5cbf10ff892c4df"),
        ("d05-scp-sftpmode-snap96.pcap", "SSH-2.0-OpenSSH_9.2p1 Debian-2", None),  # banner and key exchange cut by the snapshot length
    ],
)
def test_ssh_clients_of_the_lab(name, client, hassh):
    server = "425d29fe50d8e4f5e37efb6e24bcf660" if hassh else None
    assert rows(CORPUS / "lab" / name, "service, ssh_client, hassh, hassh_server", "ssh_client IS NOT NULL") == [("ssh", client, hassh, server)]


@pytest.mark.parametrize(
    ("name", "service", "server_name", "version", "alpn", "prints"),
    [
        ("d10-curl-put-h2-tls13.pcap", "ssl", "upload.cloudshare.example", "TLSv13", "h2,http/1.1", CURL),
        ("d11-curl-post-tls12.pcapng", "ssl", "legacy.cloudshare.example", "TLSv12", "http/1.1", CURL),
        ("d18-imap-append.pcap", "ssl", "imap.partner.example", "TLSv13", None, PYTHON),
        ("d16-swaks-587.pcap", "smtp,ssl", None, "TLSv13", None, ("c12b4ccd5320bbb380ca1a9df90f771d", "t13i311000_e8f1e7e78f70_d41ae481755e")),
        ("d19-h3-upload.pcap", "quic,ssl", "quic.cloudshare.example", "TLSv13", "h3", ("121f6e4f22ee3205214b0676ed64b9e2",
         "q13d0307h3_55b375c5d22e_1cecd519fee8")),
    ],
)  # fmt: skip
def test_tls_clients_of_the_lab(name, service, server_name, version, alpn, prints):
    found = rows(CORPUS / "lab" / name, "service, server_name, tls_version, alpn, ja3, ja4", "ja4 IS NOT NULL AND service NOT IN ('dns')")
    assert (service, server_name, version, alpn, *prints) in found


def test_certificates_and_hints_of_the_lab():
    columns = "cert_subject, length(cert_fingerprint), cert_self_signed"
    self_signed = rows(CORPUS / "lab" / "d11-curl-post-tls12.pcapng", columns, "cert_subject IS NOT NULL")
    assert [(subject.startswith("CN="), size, own) for subject, size, own in self_signed] == [(True, 64, False)]
    assert rows(CORPUS / "lab" / "d16-swaks-587.pcap", "hints LIKE '%starttls%'", "service = 'smtp,ssl'") == [(True,)]
    control = rows(CORPUS / "lab" / "d08-lftp-ftps-explicit.pcap", "hints", "service = 'ftp,ssl'")
    assert all("auth_tls" in hints for (hints,) in control)
    assert rows(CORPUS / "lab" / "d30-ssh443-tls22.pcap", "hints LIKE '%no_tls%'", "service = 'ssh' AND resp_p = 443") == [(True,)]
    assert rows(CORPUS / "lab" / "d29-midstream-https.pcap", "hints LIKE '%midstream%', hints LIKE '%tls%'", "resp_p = 443") == [(True, False)]


# The project's own implementations write 99 for a name that is no text; its description asks for hex (docs/hellos.md).
OTHERWISE = {"t13d151699_8daaf6152771_e5627efa2ab1": "t13d1516bd_8daaf6152771_e5627efa2ab1"}


@pytest.mark.skipif(not JA4.exists(), reason="no JA4 captures in the corpus")
@pytest.mark.parametrize("path", sorted(JA4.glob("*.pcap*[!h]")) if JA4.exists() else [], ids=lambda path: path.name)
def test_the_ja4_project_s_own_captures(path):
    if path.is_dir():
        pytest.skip("truth of another capture")
    truth = json.loads((path.parent / f"{path.name}.truth" / "ja4-python.json").read_text())
    expected = {(entry["srcport"], entry.get("JA4") or entry.get("JA4.1"), entry.get("domain")) for entry in truth}
    expected = {(int(port), OTHERWISE.get(ja4, ja4), name) for port, ja4, name in expected if ja4}
    found = rows(path, "orig_p, ja4, server_name", "ja4 IS NOT NULL")
    assert expected <= set(found)
    assert len(found) >= len(expected)
    for entry in truth:
        if "ssh_extras" in entry:
            lists = entry["ssh_extras"]
            assert (lists["hassh"], lists["hassh_server"]) in rows(path, "hassh, hassh_server", f"orig_p = {int(entry['srcport'])}")
