##! Uploads while they run. A session that leads outside is looked at in intervals (ConnPolling,
##! base/protocols/conn/polling.zeek) and at its end; a channel, which is all sessions of one host with one
##! destination and port, is told once.

@load base/frameworks/notice
@load base/protocols/conn
@load base/protocols/ssh
@load base/protocols/ssl
@load ./options

module NetExfil;

export {
	redef enum Notice::Type += {
		## One session sent more than :zeek:see:`NetExfil::upload_threshold`.
		Large_Upload,
		## Many sessions of a channel sent as much together. Raised by channel.zeek.
		Slow_Upload,
		## An encrypted protocol on the port of another one, with an upload in it.
		Protocol_Port_Mismatch,
		## A file transfer tool named itself in its SSH banner, and uploaded.
		Transfer_Tool
	};

	## What is known of a session that leads outside.
	type Track: record {
		## Whether its volume was told.
		told: bool &default=F;
		## Whether its tool or port was told.
		hinted: bool &default=F;
		## Bytes of it that its channel holds already, each way.
		out: count &default=0;
		back: count &default=0;
		## Time of the last line of running totals.
		written: time &optional;
	};

	## The port that names a session's channel: the control session's port for the data of FTP over TLS.
	global channel_port: function(c: connection): port;

	## The name of a channel, the identifier of its notices.
	global channel_name: function(h: addr, r: addr, p: port): string;

	## Whether a channel's volume is told for the first time; remembers that it was.
	global first_told: function(channel: string): bool;

	## Runs for every open session that leads outside, once an interval.
	global polled: hook(c: connection);

	## Runs for every session that leads outside with what it sent and received so far.
	global counted: hook(c: connection, out: count, back: count);
}

redef record connection += {
	netexfil: Track &optional;
};

# Channels whose volume was told. Notice::begin_suppression brings what other nodes of a cluster told.
global told_channels: set[string] &create_expire=1day;

# Hosts and destinations that have a session on a watched port, with that port, control ports of FTP first.
global pairs: table[addr, addr] of port &write_expire=1hr;

function channel_port(c: connection): port
	{
	local id = c$id;
	if ( id$resp_p !in ports
	    && [id$orig_h, id$resp_h] in pairs
	    && pairs[id$orig_h, id$resp_h] in ftp_ports )
		return pairs[id$orig_h, id$resp_h];

	return id$resp_p;
	}

function channel_name(h: addr, r: addr, p: port): string
	{
	return fmt("%s %s %s", h, r, p);
	}

function first_told(channel: string): bool
	{
	if ( channel in told_channels )
		return F;

	add told_channels[channel];
	return T;
	}

function note_pair(id: conn_id)
	{
	if ( [id$orig_h, id$resp_h] in pairs )
		{
		if ( id$resp_p in ftp_ports || pairs[id$orig_h, id$resp_h] !in ftp_ports )
			pairs[id$orig_h, id$resp_h] = id$resp_p;
		}
	else if ( |pairs| < max_channels )
		pairs[id$orig_h, id$resp_h] = id$resp_p;
	}

# What the analyst wants beside the bytes.
function describe(c: connection, out: count, back: count): string
	{
	local text = fmt("pcr=%.2f service=%s", pcr(out, back), |c$service| > 0 ?
	    to_lower(join_string_set(c$service, ",")) : "unknown");
	if ( c?$ssl && c$ssl?$server_name )
		text += fmt(" name=%s", c$ssl$server_name);

	if ( c?$ssh && c$ssh?$client )
		text += fmt(" client=%s", c$ssh$client);

	return text;
	}

function tell_volume(c: connection, out: count, back: count)
	{
	local id = c$id;
	local channel = channel_name(id$orig_h, id$resp_h, channel_port(c));
	if ( ! first_told(channel) )
		return;

	NOTICE(Notice::Info($note=Large_Upload, $conn=c, $n=out, $identifier=channel,
	    $suppress_for=quiet, $msg=fmt(
	    "%s sent %d bytes to %s %s in a session of %.0f seconds", id$orig_h,
	    out, id$resp_h, id$resp_p, interval_to_double(c$duration)),
	    $sub=describe(c, out, back)));
	}

# The service that does not belong on this port, or nothing.
function misplaced(c: connection): string
	{
	if ( c$id$resp_p !in expected_service )
		return "";

	local expected = expected_service[c$id$resp_p];
	if ( expected != "SSH" && "SSH" in c$service )
		return "SSH";

	if ( expected == "SSH" && "SSL" in c$service )
		return "SSL";

	return "";
	}

function tell_hint(c: connection, out: count, back: count)
	{
	local id = c$id;
	local channel = channel_name(id$orig_h, id$resp_h, channel_port(c));
	local service = misplaced(c);

	if ( channel in told_channels )
		return;

	if ( service != "" )
		NOTICE(Notice::Info($note=Protocol_Port_Mismatch, $conn=c, $n=out,
		    $identifier=channel, $suppress_for=quiet, $msg=fmt(
		    "%s sent %d bytes to %s over %s on port %s", id$orig_h, out,
		    id$resp_h, service, id$resp_p), $sub=describe(c, out,
		    back)));
	else if ( c?$ssh && c$ssh?$client && transfer_tools in c$ssh$client )
		NOTICE(Notice::Info($note=Transfer_Tool, $conn=c, $n=out, $identifier=channel,
		    $suppress_for=quiet, $msg=fmt(
		    "%s sent %d bytes to %s %s with %s", id$orig_h, out,
		    id$resp_h, id$resp_p, c$ssh$client), $sub=describe(c, out,
		    back)));
	}

# Looks at what a session sent so far. The volume is told before the hints, so that a channel that is
# both is told once.
function judge(c: connection, over: bool)
	{
	local t = c$netexfil;
	local out = sent(c$orig);
	local back = sent(c$resp);
	local upload = pcr(out, back) >= min_pcr
	    && c$id$resp_h !in allowed_destinations;

	if ( upload && ! t$told && out >= upload_threshold )
		{
		t$told = T;
		tell_volume(c, out, back);
		}

	hook counted(c, out, back);

	if ( upload
	    && ! t$hinted
	    && out >= hint_bytes
	    && ( over || c$duration >= hint_wait ) )
		{
		t$hinted = T;
		tell_hint(c, out, back);
		}
	}

function poll(c: connection, cnt: count): interval
	{
	if ( ! c?$netexfil )
		return -1secs;

	if ( c$id$resp_p in ports )
		note_pair(c$id);

	judge(c, F);
	hook polled(c);
	return poll_interval * ( cnt < 20 ? cnt : 20 );
	}

function track(c: connection)
	{
	if ( c?$netexfil || ! is_outbound(c$id) )
		return;

	c$netexfil = Track();
	if ( c$id$resp_p in ports )
		note_pair(c$id);

	ConnPolling::watch(c, poll, 1, poll_interval);
	}

event connection_established(c: connection)
	{
	if ( c$id$resp_p in ports )
		track(c);
	}

# A session that was open before the sensor saw it.
event partial_connection(c: connection)
	{
	if ( c$id$resp_p in ports )
		track(c);
	}

event new_connection(c: connection)
	{
	if ( c$id$resp_p in ports && get_port_transport_proto(c$id$resp_p) == udp )
		track(c);
	}

# An encrypted protocol that was found by content, on any port.
event analyzer_confirmation_info(atype: AllAnalyzers::Tag,
    info: AnalyzerConfirmationInfo)
	{
	if ( ! info?$c || info$c?$netexfil )
		return;

	if ( atype == Analyzer::ANALYZER_SSL || atype == Analyzer::ANALYZER_SSH )
		track(info$c);
	}

# Sessions on other ports count where nothing is known of them, or in the clear beside a watched session.
function is_other_upload(c: connection): bool
	{
	local id = c$id;
	if ( c$orig$size < other_bytes || ! is_outbound(id) )
		return F;

	return |c$service| == 0
	    || id$resp_p in ports
	    || is_encrypted(c)
	    || [id$orig_h, id$resp_h] in pairs;
	}

# After the hooks of the protocols (priority -3), before conn.log is written (-5).
event connection_state_remove(c: connection) &priority=-4
	{
	if ( ! c?$netexfil )
		{
		if ( ! is_other_upload(c) )
			return;

		c$netexfil = Track();
		}

	judge(c, T);
	}

event Notice::begin_suppression(ts: time, suppress_for: interval,
    note: Notice::Type, identifier: string)
	{
	if ( note == Large_Upload || note == Slow_Upload )
		add told_channels[identifier];
	}
