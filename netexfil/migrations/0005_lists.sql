-- Columns that most sessions lack, or that follow from others, as two lists: a column costs what it costs to store, said or not.
CREATE TABLE state.listed (
    ts DOUBLE, uid VARCHAR USING COMPRESSION uncompressed, orig_h VARCHAR, orig_p INTEGER, resp_h VARCHAR, resp_p INTEGER, proto VARCHAR,
    service VARCHAR, duration DOUBLE, orig_bytes BIGINT, resp_bytes BIGINT, history VARCHAR, orig_pkts BIGINT, resp_pkts BIGINT,
    hints VARCHAR, source VARCHAR, day BIGINT, batch BIGINT, talk BIGINT, uid_key BIGINT, said VARCHAR[], bounds BIGINT[]
);
INSERT INTO state.listed BY NAME SELECT ts, uid, orig_h, orig_p, resp_h, resp_p, proto, service, duration, orig_bytes, resp_bytes, history,
    orig_pkts, resp_pkts, hints, source, day, batch, talk, uid_key,
    CASE WHEN cert_subject IS NULL AND cert_issuer IS NULL AND ssh_client IS NULL AND ssh_server IS NULL AND hassh IS NULL
            AND cert_self_signed IS NULL AND community_id IS NULL
        THEN CASE WHEN server_name IS NULL AND tls_version IS NULL AND ja4 IS NULL THEN NULL ELSE [server_name, tls_version, ja4] END
        ELSE [server_name, tls_version, ja4, cert_subject, cert_issuer, ssh_client, ssh_server, hassh, CAST(cert_self_signed AS VARCHAR),
            community_id] END AS said,
    CASE WHEN orig_quality = 'exact' AND orig_low = coalesce(orig_bytes, 0) AND orig_high = orig_low
            AND resp_quality = 'exact' AND resp_low = coalesce(resp_bytes, 0) AND resp_high = resp_low THEN NULL
        ELSE [orig_low, orig_high, CASE orig_quality WHEN 'exact' THEN 1 WHEN 'bounded' THEN 2 WHEN 'unknown' THEN 3 END,
            resp_low, resp_high, CASE resp_quality WHEN 'exact' THEN 1 WHEN 'bounded' THEN 2 WHEN 'unknown' THEN 3 END] END AS bounds
    FROM state.session ORDER BY rowid;
DROP TABLE state.session;
ALTER TABLE state.listed RENAME TO session;

-- Sessions with a column for each of these again.
CREATE VIEW state.told AS SELECT ts, uid, orig_h, orig_p, resp_h, resp_p, proto, service, duration, orig_bytes, resp_bytes, history,
    orig_pkts, resp_pkts, said[10] AS community_id, said[1] AS server_name, said[2] AS tls_version, said[3] AS ja4, said[4] AS cert_subject,
    said[5] AS cert_issuer, CAST(said[9] AS BOOLEAN) AS cert_self_signed, said[6] AS ssh_client, said[7] AS ssh_server, said[8] AS hassh,
    CASE WHEN bounds IS NULL THEN coalesce(orig_bytes, 0) ELSE bounds[1] END AS orig_low,
    CASE WHEN bounds IS NULL THEN coalesce(orig_bytes, 0) ELSE bounds[2] END AS orig_high,
    CASE WHEN bounds IS NULL THEN 'exact' ELSE ['exact', 'bounded', 'unknown'][bounds[3]] END AS orig_quality,
    CASE WHEN bounds IS NULL THEN coalesce(resp_bytes, 0) ELSE bounds[4] END AS resp_low,
    CASE WHEN bounds IS NULL THEN coalesce(resp_bytes, 0) ELSE bounds[5] END AS resp_high,
    CASE WHEN bounds IS NULL THEN 'exact' ELSE ['exact', 'bounded', 'unknown'][bounds[6]] END AS resp_quality,
    hints, source, day, batch, talk, uid_key FROM state.session;
