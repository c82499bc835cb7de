-- Channels are kept as sums that new sessions are added to, so that a run costs what it brings.

-- `batch` counts commits; `talk` is a hash of the two addresses and the day, `ends` one of the ordered five-tuple.
ALTER TABLE state.session ADD COLUMN batch BIGINT;
ALTER TABLE state.session ADD COLUMN talk BIGINT;
ALTER TABLE state.session ADD COLUMN ends BIGINT;

-- The last batch that was scored; sessions of later ones have no channel yet.
ALTER TABLE state.run ADD COLUMN batch BIGINT;

-- `asked` is the name that sessions asked for (server_name may come from DNS), `*_key` say how far a word is surpassed by another part,
-- `pair` is a hash of inside host and entity, `cand` whether the channel was judged when it was last looked at.
ALTER TABLE state.channel ADD COLUMN asked VARCHAR;
ALTER TABLE state.channel ADD COLUMN server_name_key HUGEINT;
ALTER TABLE state.channel ADD COLUMN protocol_key HUGEINT;
ALTER TABLE state.channel ADD COLUMN ssh_client_key HUGEINT;
ALTER TABLE state.channel ADD COLUMN talk BIGINT;
ALTER TABLE state.channel ADD COLUMN pair BIGINT;
ALTER TABLE state.channel ADD COLUMN cand BOOLEAN;

-- One row an inside host and entity (entity '': the host itself): on which days it was used, and sent to, as bits (bit = day modulo 120),
-- the first day, and the bytes of all kept days.
CREATE TABLE state.pair (
    pair BIGINT, inside_h VARCHAR, entity VARCHAR, first_day INTEGER, used HUGEINT, sent HUGEINT, total BIGINT
);

-- How many channels of a host spoke a protocol on a day; rows of one key add up.
CREATE TABLE state.spoke (inside_h VARCHAR, protocol VARCHAR, day INTEGER, channels BIGINT);

-- Hosts whose channels of a day depend on each other (FTP data, uploads in clear beside encrypted orders): built anew together.
CREATE TABLE state.mixed (address VARCHAR, day BIGINT);

-- What was changed, not added, since the last scoring: talks whose sessions changed, addresses whose names did; a row of NULLs: telemetry.
CREATE TABLE state.stale (talk BIGINT, address VARCHAR);

ALTER TABLE state.finding ADD COLUMN cid BIGINT;

DROP TABLE state.dirty;
