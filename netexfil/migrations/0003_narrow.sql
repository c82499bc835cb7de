-- Sessions without the columns that findings never ask for. uids do not compress well, and trying to costs a quarter of what storing a row
-- does; `uid_key` is a hash of the uid, so that a run compares whole numbers with the stored sessions, and texts where one is the same.
CREATE TABLE state.narrow (
    ts DOUBLE, uid VARCHAR USING COMPRESSION uncompressed, orig_h VARCHAR, orig_p INTEGER, resp_h VARCHAR, resp_p INTEGER, proto VARCHAR,
    service VARCHAR, duration DOUBLE, orig_bytes BIGINT, resp_bytes BIGINT, history VARCHAR, orig_pkts BIGINT, resp_pkts BIGINT,
    community_id VARCHAR, server_name VARCHAR, tls_version VARCHAR, ja4 VARCHAR, cert_subject VARCHAR, cert_issuer VARCHAR,
    cert_self_signed BOOLEAN, ssh_client VARCHAR, ssh_server VARCHAR, hassh VARCHAR, orig_low BIGINT, orig_high BIGINT,
    orig_quality VARCHAR, resp_low BIGINT, resp_high BIGINT, resp_quality VARCHAR, hints VARCHAR, source VARCHAR, day BIGINT, batch BIGINT,
    talk BIGINT, ends BIGINT, uid_key BIGINT
);
INSERT INTO state.narrow BY NAME SELECT ts, uid, orig_h, orig_p, resp_h, resp_p, proto, service, duration, orig_bytes, resp_bytes, history,
    orig_pkts, resp_pkts, community_id, server_name, tls_version, ja4, cert_subject, cert_issuer, cert_self_signed, ssh_client, ssh_server, hassh,
    orig_low, orig_high, orig_quality, resp_low, resp_high, resp_quality, hints, source, day, batch, talk, ends,
    CAST(hash(uid) >> 1 AS BIGINT) AS uid_key FROM state.session ORDER BY rowid;
DROP TABLE state.session;
ALTER TABLE state.narrow RENAME TO session;

-- Lines refused since the state was made: runs are forgotten, this is not.
ALTER TABLE state.run ADD COLUMN refused_total BIGINT;

-- The next run makes everything anew: rows of the first schema have no keys yet.
UPDATE state.run SET settings = NULL;
