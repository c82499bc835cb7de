"""Which logs are read, which of their columns, and how a JSON line without a name tells what log it is: said once for both engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One column that is taken from a log.

    name: ours. kind: `time addr port proto str int float bool list` (a list is its elements with `\\x1f` between them).
    names: what logs call it, dots as underscores; the first that a file has is taken. required: a file whose header lacks it is
    refused. filled: and a row where it is empty.
    """

    name: str
    kind: str
    names: tuple[str, ...]
    required: bool
    filled: bool


def _fields(text: str) -> tuple[Field, ...]:
    """`name:kind=alias|alias`; `!` after the name: required and never empty, `?`: required, may be empty."""
    found = []
    for word in text.split():
        left, _, aliases = word.partition("=")
        marked, _, kind = left.partition(":")
        name = marked.rstrip("!?")
        found.append(Field(name, kind or "str", tuple(aliases.split("|")) if aliases else (name,), name != marked, marked.endswith("!")))
    return tuple(found)


_ENDS = "orig_h!:addr=id_orig_h orig_p!:port=id_orig_p resp_h!:addr=id_resp_h resp_p!:port=id_resp_p"
_MAYBE = "orig_h:addr=id_orig_h orig_p:port=id_orig_p resp_h:addr=id_resp_h resp_p:port=id_resp_p"

LOGS: Mapping[str, tuple[Field, ...]] = {
    "conn": _fields(
        f"ts!:time=ts|@timestamp uid {_ENDS} proto!:proto service duration:float orig_bytes:int resp_bytes:int conn_state "
        "local_orig:bool local_resp:bool missed_bytes:int history "
        "orig_pkts:int orig_ip_bytes:int resp_pkts:int resp_ip_bytes:int tunnel_parents:list community_id "
        "sensor=_system_name|_node_name|@system|__name"
    ),
    "ssl": _fields(
        f"ts:time uid? {_MAYBE} version server_name next_protocol ja3 ja4 subject issuer=issuer|issuer_subject cert_hash validation_status "
        "fuids:list=cert_chain_fuids|cert_chain_fps"
    ),
    "x509": _fields("ts:time fuid?=id|fingerprint fingerprint subject=certificate_subject issuer=certificate_issuer names:list=san_dns"),
    "ssh": _fields("ts:time uid? client server hassh hassh_server=hasshserver"),
    "quic": _fields(f"ts:time uid? {_MAYBE} version server_name client_protocol ja4"),
    "smtp": _fields("ts:time uid? helo tls:bool"),
    "ftp": _fields(
        f"ts:time uid? {_MAYBE} command arg data_orig_h:addr=data_channel_orig_h data_resp_h:addr=data_channel_resp_h "
        "data_resp_p:port=data_channel_resp_p"
    ),
    "http": _fields(f"ts:time uid? {_MAYBE} method host uri user_agent"),
    "socks": _fields("ts:time uid? request_host=request_host request_name=request_name request_p:port"),
    "tunnel": _fields("ts:time uid? tunnel_type"),
    "files": _fields("ts:time fuid? uids:list=conn_uids|uid source sha256"),
    "dns": _fields(f"ts!:time=ts|@timestamp uid {_MAYBE} query answers:list"),
    "dhcp": _fields(
        "ts!:time address:addr=assigned_addr|assigned_ip client_addr:addr host_name client_fqdn=client_fqdn|client_fqdn lease_time:float"
    ),
    "ntlm": _fields(f"ts!:time=ts|@timestamp uid {_MAYBE} hostname nb=server_nb_computer_name dns=server_dns_computer_name"),
    "kerberos": _fields(f"ts!:time=ts|@timestamp uid {_MAYBE} client success:bool"),
    "known_hosts": _fields("ts!:time address:addr=host|host_ip name=host_name|hostname|dhcp_host_name|name"),
    "weird": _fields("ts:time name?"),
    "netexfil": _fields(
        f"ts!:time what!=kind uid {_MAYBE} proto:proto service duration:float orig_bytes:int resp_bytes:int conn_state local_orig:bool "
        "local_resp:bool missed_bytes:int history orig_pkts:int orig_ip_bytes:int resp_pkts:int resp_ip_bytes:int tunnel_parents:list "
        "community_id server_name tls_version alpn ja3 ja4 cert_subject cert_issuer cert_fingerprint ssh_client ssh_server hassh hassh_server "
        "address:addr name"
    ),
}

# What the core sums of a conn log, in its order, and what else may be refused in a row.
SUMMED = ("ts", "uid", "orig_h", "orig_p", "resp_h", "resp_p", "proto", "service", "duration", "orig_bytes", "resp_bytes", "missed_bytes",
          "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")  # fmt: skip
FLAGS = ("local_orig", "local_resp")

# Other names of the same logs: Corelight's reduced and long-lived ones, RITA's open ones.
ALIASES: Mapping[str, str] = {
    "open_conn": "conn", "conn_long": "conn", "long_conn": "conn", "conn_red": "conn", "conn_reduced": "conn", "open_ssl": "ssl", "ssl_red": "ssl",
    "open_http": "http", "http_red": "http", "dns_red": "dns", "files_red": "files", "x509_red": "x509", "smtp_red": "smtp", "weird_red": "weird",
    "known_names": "known_hosts", "known_devices": "known_hosts", "known_certs": "", "open_dns": "dns",
}  # fmt: skip

# Logs whose rows tell of sessions that are still going on.
OPEN = frozenset({"open_conn", "conn_long", "long_conn"})

# A JSON line that names no log: the log that has one of these keys (first that fits; Zeek leaves out unset fields, these are always set).
SIGNS: Sequence[tuple[str, str]] = (
    ("conn_state", "conn"), ("established", "ssl"), ("certificate_serial", "x509"), ("certificate_version", "x509"), ("auth_attempts", "ssh"),
    ("kex_alg", "ssh"), ("client_initial_dcid", "quic"), ("server_initial_dcid", "quic"), ("is_webmail", "smtp"), ("helo", "smtp"),
    ("request_body_len", "http"), ("data_channel_passive", "ftp"), ("reply_msg", "ftp"), ("seen_bytes", "files"), ("rejected", "dns"),
    ("assigned_addr", "dhcp"), ("assigned_ip", "dhcp"), ("msg_types", "dhcp"), ("server_nb_computer_name", "ntlm"), ("domainname", "ntlm"),
    ("request_type", "kerberos"), ("tunnel_type", "tunnel"), ("bound_p", "socks"), ("peer", "weird"),
)  # fmt: skip

# Logs of Zeek that say nothing of sessions: known, so that they are passed over without a word.
OTHER = frozenset(
    "analyzer analyzer_debug app_stats arp barnyard2 broker capture_loss cluster communication conn-summary config corelight_metrics_bro "
    "dce_rpc dnp3 dpd generic_dns_tunnels generic_icmp_tunnels intel irc kerberos known_certs known_modbus known_services ldap ldap_search "
    "loaded_scripts modbus modbus_register_change mqtt_connect mqtt_publish mqtt_subscribe mysql netcontrol notice notice_alarm ntp ocsp "
    "openflow packet_filter pe postgresql print prof radius rdp redis reporter rfb signatures sip smb_cmd smb_files smb_mapping snmp "
    "software stats stderr stdout suricata_corelight syslog telemetry telemetry_histogram traceroute unknown_protocols weird_stats "
    "websocket wireguard x2p".split()
)

# Keys in which a JSON line names its log, and keys under which shippers wrap the line itself.
NAMES = ("_path", "@stream", "@path", "zeek_log", "log_type", "stream")
WRAPS = ("message", "event", "log", "_raw", "json", "data", "result", "zeek", "msg", "_source")

# Zeek's logs as Filebeat's module and Elastic's integration keep them: keys in which a record names its dataset (`zeek.connection`), the logs
# of datasets that are called otherwise, and for a dataset (empty: for all) what stands for a field of Zeek's. Fields that kept their name
# stand under `zeek.<dataset>.`. The first key that a record has is taken. `EVENT_DURATION` is in nanoseconds.
DATASETS = ("event_dataset", "data_stream_dataset")
DATASET_LOGS: Mapping[str, str] = {"connection": "conn"}
EVENT_DURATION = "event_duration"
ECS: Sequence[tuple[str, str, str]] = (
    ("", "@timestamp", "ts"), ("", "zeek_session_id", "uid"), ("", "source_ip", "id_orig_h"), ("", "source_address", "id_orig_h"),
    ("", "source_port", "id_orig_p"), ("", "destination_ip", "id_resp_h"), ("", "destination_address", "id_resp_h"),
    ("", "destination_port", "id_resp_p"), ("", "network_transport", "proto"), ("", "network_community_id", "community_id"),
    ("connection", "network_application", "service"), ("connection", "network_protocol", "service"), ("connection", EVENT_DURATION, "duration"),
    ("connection", "zeek_connection_state", "conn_state"), ("connection", "source_packets", "orig_pkts"),
    ("connection", "source_bytes", "orig_ip_bytes"), ("connection", "destination_packets", "resp_pkts"),
    ("connection", "destination_bytes", "resp_ip_bytes"), ("ssl", "zeek_ssl_server_cert_chain_fuids", "cert_chain_fuids"),
    ("ssl", "tls_server_subject", "subject"), ("ssl", "tls_server_issuer", "issuer"), ("ssl", "tls_client_ja3", "ja3"),
    ("ssl", "zeek_ssl_next_protocol", "next_protocol"), ("ssl", "tls_next_protocol", "next_protocol"),
    ("ssl", "zeek_ssl_validation_status", "validation_status"), ("x509", "zeek_session_id", "id"),
    ("x509", "zeek_x509_certificate_sub", "certificate_subject"), ("x509", "zeek_x509_certificate_iss", "certificate_issuer"),
    ("files", "zeek_files_session_ids", "conn_uids"), ("dns", "dns_question_name", "query"), ("http", "http_request_method", "method"),
    ("http", "url_domain", "host"), ("http", "url_original", "uri"), ("http", "user_agent_original", "user_agent"),
    ("ftp", "zeek_ftp_data_channel_originating_host", "data_channel_orig_h"), ("ftp", "zeek_ftp_data_channel_response_host", "data_channel_resp_h"),
    ("ftp", "zeek_ftp_data_channel_response_port", "data_channel_resp_p"), ("socks", "zeek_socks_request_port", "request_p"),
    ("tunnel", "zeek_tunnel_type", "tunnel_type"), ("dhcp", "zeek_dhcp_address_assigned", "assigned_addr"),
    ("dhcp", "zeek_dhcp_address_client", "client_addr"), ("dhcp", "zeek_dhcp_hostname", "host_name"),
    ("ntlm", "zeek_ntlm_server_name_netbios", "server_nb_computer_name"), ("ntlm", "zeek_ntlm_server_name_dns", "server_dns_computer_name"),
)  # fmt: skip


def log_of(name: str) -> str:
    """The log (a key of LOGS, or the name itself where we do not read it) that a `_path`, `#path` or file name speaks of."""
    plain = name.lower().strip()
    return ALIASES.get(plain, plain)
