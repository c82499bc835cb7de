"""TShark's view of one session, through pyshark: handshakes, certificates, algorithms, and contents where keys allow.

The session's packets are cut out first (`carve`), so that TShark reads a small file, whatever the size of the source.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netexfil import carve
from netexfil.errors import NetexfilError, Note

# What is shown of a packet, by protocol layer of TShark: its field -> our word. A packet without any of them is not shown.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "ssh": {
        "ssh_protocol": "banner",
        "ssh_kex_algorithms": "key exchange",
        "ssh_server_host_key_algorithms": "host keys",
        "ssh_encryption_algorithms_client_to_server": "ciphers",
        "ssh_mac_algorithms_client_to_server": "MACs",
        "ssh_compression_algorithms_client_to_server": "compression",
        "ssh_kex_hassh": "HASSH",
        "ssh_kex_hasshserver": "HASSH server",
    },
    "tls": {
        "tls_handshake_type": "handshake",
        "tls_handshake_version": "version",
        "tls_handshake_extensions_server_name": "server name",
        "tls_handshake_extensions_alpn_str": "ALPN",
        "tls_handshake_ciphersuite": "cipher suites",
        "tls_handshake_extensions_supported_version": "versions",
        "tls_handshake_ja3": "JA3",
        "tls_handshake_ja3s": "JA3S",
        "x509sat_utf8string": "certificate names",
        "x509sat_printablestring": "certificate names",
        "x509ce_dnsname": "certificate hosts",
        "x509af_utctime": "certificate times",
        "tls_alert_message_desc": "alert",
    },
    "quic": {
        "quic_version": "version",
        "quic_dcid": "connection",
        "tls_handshake_extensions_server_name": "server name",
        "tls_handshake_extensions_alpn_str": "ALPN",
    },
    "ftp": {"ftp_request_command": "command", "ftp_request_arg": "argument", "ftp_response_code": "answer", "ftp_response_arg": "text"},
    "smtp": {"smtp_req_command": "command", "smtp_req_parameter": "parameter", "smtp_response_code": "answer", "smtp_rsp_parameter": "text"},
    "imf": {"imf_from": "from", "imf_to": "to", "imf_subject": "subject", "imf_message_id": "message id"},
    "mime_multipart": {"mime_multipart_header_content_disposition": "part", "mime_multipart_header_content_type": "type"},
    "imap": {"imap_request": "request", "imap_response": "answer"},
    "http": {
        "http_request_method": "method",
        "http_request_full_uri": "address",
        "http_user_agent": "program",
        "http_content_length_header": "length",
        "http_content_type": "type",
        "http_response_code": "answer",
        "http_request_uri": "path",
    },
    "http2": {
        "http2_headers_method": "method",
        "http2_headers_authority": "host",
        "http2_headers_path": "path",
        "http2_headers_user_agent": "program",
        "http2_headers_content_length": "length",
        "http2_headers_status": "answer",
    },
}
LONGEST = 2_000  # characters of one value
# Only these packets are handed over: bulk data says nothing, and each packet costs Python a millisecond.
SPEAKING = (
    "ssh.protocol || ssh.kex_algorithms || tls.handshake || tls.alert_message || quic.long.packet_type || ftp || smtp || imf || mime_multipart "
    "|| imap || http || http2.header"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet that says something: its number in the cut, time (seconds since 1970), direction, layer, and what it says."""

    number: int
    time: float
    source: str
    layer: str
    says: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inspection:
    packets: int
    seen: Sequence[Seen]
    notes: Sequence[Note]


def inspect(sources: Sequence[str], uid: str, keylog: Path | None = None) -> Inspection:
    """What TShark finds in the session `uid`. `keylog` is an NSS key log (SSLKEYLOGFILE) with which TLS is opened.

    Raises:
        NetexfilError: TShark or pyshark is missing, or the key log cannot be read.
        Unreadable: the session is not in the captures.
    """
    pyshark = _pyshark()
    if keylog is not None and not keylog.is_file():
        raise NetexfilError(f"{keylog}: no such key log")
    with tempfile.TemporaryDirectory(prefix="netexfil-") as folder:
        cut = str(Path(folder) / "session.pcapng")
        done = carve.carve(sources, cut, uids=[uid])
        preferences = {"tls.keylog_file": str(keylog.resolve())} if keylog else {}
        capture = pyshark.FileCapture(cut, keep_packets=False, override_prefs=preferences, custom_parameters=["-n"], display_filter=SPEAKING)
        try:
            return Inspection(done.frames, list(_walk(capture)), done.notes)
        except pyshark.capture.capture.TSharkCrashException as error:
            raise NetexfilError(f"TShark stopped: {str(error).splitlines()[0]}") from error
        finally:
            with contextlib.suppress(pyshark.capture.capture.TSharkCrashException):
                capture.close()


def _pyshark() -> Any:
    """pyshark, where it and TShark are there."""
    if shutil.which("tshark") is None:
        raise NetexfilError("inspect needs TShark, which is not installed here (Debian: apt-get install tshark)")
    try:
        import pyshark
    except ImportError:
        raise NetexfilError("inspect needs pyshark: pip install 'netexfil[inspect]'") from None
    return pyshark


def _walk(capture: Any) -> Iterator[Seen]:
    for packet in capture:
        source = next((layer.src for layer in packet.layers if layer.layer_name in ("ip", "ipv6")), "")
        for layer in packet.layers:
            says = _says(layer)
            if says:
                yield Seen(int(packet.number), float(packet.sniff_timestamp), str(source), layer.layer_name, says)


def _says(layer: Any) -> dict[str, str]:
    """Our words and TShark's values of one layer; several values of one field are joined."""
    found: dict[str, str] = {}
    held = {name.replace(".", "_"): name for name in layer.field_names} if layer.layer_name in FIELDS else {}
    prefix = f"{layer.layer_name}_"
    for field, word in FIELDS.get(layer.layer_name, {}).items():
        name = held.get(field) or held.get(field.removeprefix(prefix))
        if name is None or word in found:
            continue
        values = dict.fromkeys(part.showname_value or part.get_default_value() or "" for part in layer.get_field(name).all_fields)
        found[word] = ", ".join(value for value in values if value)[:LONGEST]
    return {word: value for word, value in found.items() if value}
