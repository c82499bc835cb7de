-- The first schema. `day` is a UTC day since 1970 of event time: the window that a row belongs to.
CREATE TABLE state.migration (version INTEGER, applied DOUBLE);

-- One run of the program; `lag` is how far the newest record read lay behind the clock, in seconds; `listing` a hash of the names, sizes
-- and times of all files of the sources, `settings` one of policy and options.
CREATE TABLE state.run (
    id BIGINT, started DOUBLE, sessions BIGINT, refused BIGINT, findings BIGINT, lag DOUBLE, version VARCHAR,
    listing VARCHAR, settings VARCHAR
);

-- A log or capture, known by its content: `identity` is a hash of its kind and first record, `tail` a hash of the last bytes consumed,
-- `first_ts` the time of a capture's first packet.
CREATE TABLE state.log (
    identity VARCHAR, kind VARCHAR, wrap VARCHAR, path VARCHAR, size BIGINT, consumed BIGINT, tail VARCHAR, first_ts DOUBLE, updated DOUBLE
);

-- Sessions as they were read, one row a uid, kept for the policy's days.
CREATE TABLE state.session (
    ts DOUBLE, uid VARCHAR, orig_h VARCHAR, orig_p INTEGER, resp_h VARCHAR, resp_p INTEGER, proto VARCHAR,
    service VARCHAR, duration DOUBLE, orig_bytes BIGINT, resp_bytes BIGINT, conn_state VARCHAR, local_orig BOOLEAN,
    local_resp BOOLEAN, missed_bytes BIGINT, history VARCHAR, orig_pkts BIGINT, orig_ip_bytes BIGINT, resp_pkts BIGINT,
    resp_ip_bytes BIGINT, community_id VARCHAR, server_name VARCHAR, tls_version VARCHAR, alpn VARCHAR, ja3 VARCHAR,
    ja4 VARCHAR, cert_subject VARCHAR, cert_issuer VARCHAR, cert_fingerprint VARCHAR, cert_self_signed BOOLEAN,
    ssh_client VARCHAR, ssh_server VARCHAR, hassh VARCHAR, hassh_server VARCHAR, orig_low BIGINT, orig_high BIGINT,
    orig_quality VARCHAR, resp_low BIGINT, resp_high BIGINT, resp_quality VARCHAR, tunnel VARCHAR, hints VARCHAR,
    source VARCHAR, day BIGINT
);

-- What other logs said of a uid; kept until its session is there, and as long as the session may still change.
CREATE TABLE state.fact (
    uid VARCHAR, fuid VARCHAR, kind VARCHAR, ts DOUBLE, service VARCHAR, server_name VARCHAR, tls_version VARCHAR,
    alpn VARCHAR, ja3 VARCHAR, ja4 VARCHAR, cert_subject VARCHAR, cert_issuer VARCHAR, cert_fingerprint VARCHAR,
    cert_self_signed BOOLEAN, ssh_client VARCHAR, ssh_server VARCHAR, hassh VARCHAR, hassh_server VARCHAR,
    tunnel VARCHAR, hints VARCHAR, source VARCHAR
);

CREATE TABLE state.name (
    address VARCHAR, name VARCHAR, kind VARCHAR, first_ts DOUBLE, last_ts DOUBLE, source VARCHAR
);

-- Channels by day, kept when their sessions are gone: what ledgers, novelty and prevalence look back on.
CREATE TABLE state.channel (
    cid BIGINT, day INTEGER, inside_h VARCHAR, remote_h VARCHAR, remote_p INTEGER, proto VARCHAR, direction VARCHAR, entity VARCHAR,
    server_name VARCHAR, protocol VARCHAR, first_ts DOUBLE, last_ts DOUBLE, sessions BIGINT, siblings BIGINT, unfinished BIGINT,
    bytes_low BIGINT, bytes_high BIGINT, bytes_in BIGINT, in_unknown BIGINT, quality INTEGER, push_low BIGINT, push_in BIGINT,
    push_sessions BIGINT, max_low BIGINT, busy DOUBLE, ssh_client VARCHAR, ssh_sessions BIGINT, tls_sessions BIGINT,
    odd_sessions BIGINT, clear_leg BOOLEAN
);

-- Endpoint telemetry, one row a record whatever file brought it: `key` is a hash of its content.
CREATE TABLE state.event (
    kind VARCHAR, ts DOUBLE, ts_field VARCHAR, ts_rec DOUBLE, host VARCHAR, host_raw VARCHAR, host_id VARCHAR,
    host_ips VARCHAR, "user" VARCHAR, image VARCHAR, pid BIGINT, guid VARCHAR, hashes VARCHAR, command_line VARCHAR,
    original_file_name VARCHAR, parent_image VARCHAR, parent_pid BIGINT, parent_guid VARCHAR,
    parent_command_line VARCHAR, local_ip VARCHAR, local_p INTEGER, remote_ip VARCHAR, remote_p INTEGER,
    remote_host VARCHAR, proto VARCHAR, initiated BOOLEAN, bytes_out BIGINT, bytes_in BIGINT, community_id VARCHAR,
    target VARCHAR, answers VARCHAR, rule_id VARCHAR, rule_name VARCHAR, severity INTEGER, technique VARCHAR,
    dialect VARCHAR, event_id VARCHAR, raw_id VARCHAR, file VARCHAR, line BIGINT, key VARCHAR, day BIGINT
);

-- Days whose findings must be made anew: written with the rows that touched them, cleared with the findings.
CREATE TABLE state.dirty (day BIGINT);

-- One row a finding as it stands; `emitted_*` say what was last handed out, NULL where it never was.
CREATE TABLE state.finding (
    id VARCHAR, day BIGINT, record VARCHAR, score DOUBLE, severity VARCHAR, bytes_low BIGINT, suppressed BOOLEAN,
    first_run BIGINT, last_run BIGINT, emitted_score DOUBLE, emitted_severity VARCHAR, emitted_bytes BIGINT, emitted_suppressed BOOLEAN
);

-- Findings to be written out; a row leaves when its output has been written.
CREATE TABLE state.outbox (run BIGINT, id VARCHAR, record VARCHAR);
