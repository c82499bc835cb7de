##! netexfil.log: what the netexfil analyzer needs of conn.log, ssl.log, x509.log, ssh.log, quic.log, dns.log,
##! dhcp.log, ntlm.log and kerberos.log, in one line a session.

@load base/protocols/conn
@load base/protocols/dhcp
@load base/protocols/dns
@load base/protocols/krb
@load base/protocols/ntlm
@load base/protocols/ssh
@load base/protocols/ssl
@load base/utils/strings
@load ./options
@load ./upload

module NetExfil;

export {
	redef enum Log::ID += { LOG };

	## A default logging policy hook for the stream.
	global log_policy: Log::PolicyHook;

	## A line of netexfil.log.
	type Info: record {
		## Start of the session, or time of the answer that gave a name.
		ts: time &log;
		## ``session`` at its end, ``progress`` for the running totals of an open one, ``dns`` for a name of
		## *address* in a DNS answer, ``host`` for the name of an inside host.
		kind: string &log;
		uid: string &log &optional;
		id: conn_id &log &optional;

		# As in conn.log.
		proto: transport_proto &log &optional;
		service: string &log &optional;
		duration: interval &log &optional;
		orig_bytes: count &log &optional;
		resp_bytes: count &log &optional;
		conn_state: string &log &optional;
		local_orig: bool &log &optional;
		local_resp: bool &log &optional;
		missed_bytes: count &log &optional;
		history: string &log &optional;
		orig_pkts: count &log &optional;
		orig_ip_bytes: count &log &optional;
		resp_pkts: count &log &optional;
		resp_ip_bytes: count &log &optional;
		tunnel_parents: set[string] &log &optional;

		# From ssl.log, quic.log and x509.log: the leaf certificate.
		server_name: string &log &optional;
		tls_version: string &log &optional;
		alpn: string &log &optional;
		cert_subject: string &log &optional;
		cert_issuer: string &log &optional;
		cert_fingerprint: string &log &optional;

		# From ssh.log: the banners.
		ssh_client: string &log &optional;
		ssh_server: string &log &optional;

		# Lines of kind ``dns`` and ``host``.
		address: addr &log &optional;
		name: string &log &optional;
	};

	## Runs before a line of a session is written; a script that has more to say adds its columns here.
	global completing: hook(c: connection, rec: Info);
}

redef record connection += {
	netexfil_alpn: string &optional;
};

# Names that were written lately.
global names: set[addr, string] &create_expire=1hr;

event zeek_init() &priority=5
	{
	Log::create_stream(LOG, Log::Stream($columns=Info, $path="netexfil",
	    $policy=log_policy));
	}

function fill_tls(c: connection, rec: Info)
	{
	local s = c$ssl;
	if ( s?$server_name )
		rec$server_name = s$server_name;

	if ( s?$version )
		rec$tls_version = s$version;

	if ( s?$next_protocol )
		rec$alpn = s$next_protocol;

	if ( ! s?$cert_chain || |s$cert_chain| == 0 || ! s$cert_chain[0]?$x509 )
		return;

	local x = s$cert_chain[0]$x509;
	rec$cert_subject = x$certificate$subject;
	rec$cert_issuer = x$certificate$issuer;
	if ( x?$fingerprint )
		rec$cert_fingerprint = x$fingerprint;
	}

function fill(c: connection, rec: Info)
	{
	if ( c?$ssl )
		fill_tls(c, rec);

	if ( ! rec?$alpn && c?$netexfil_alpn )
		rec$alpn = c$netexfil_alpn;

	if ( c?$ssh )
		{
		if ( c$ssh?$client )
			rec$ssh_client = c$ssh$client;

		if ( c$ssh?$server )
			rec$ssh_server = c$ssh$server;
		}

	hook completing(c, rec);
	}

# Which sessions the analyzer looks at: those that cross the border on a watched port, encrypted, or with
# some volume; and those inside that moved much, as data is often collected before it is sent.
function is_wanted(c: connection): bool
	{
	local size = c$orig$size > c$resp$size ? c$orig$size : c$resp$size;
	local near = c$id$resp_p in ports || size >= log_bytes || is_encrypted(c);
	if ( ! near && size < log_inside_bytes )
		return F;

	if ( c?$netexfil || is_outbound(c$id) )
		return near;

	if ( size >= log_inside_bytes )
		return T;

	return near && size >= log_bytes && is_public(c$id$orig_h);
	}

# Optional columns of conn.log stay empty here where they are empty there.
function log_session(c: connection)
	{
	local n = c$conn;
	local rec = Info($ts=n$ts, $kind="session", $uid=n$uid, $id=n$id,
	    $proto=n$proto, $missed_bytes=n$missed_bytes);
	if ( n?$service )
		rec$service = n$service;

	if ( n?$duration )
		rec$duration = n$duration;

	if ( n?$orig_bytes )
		rec$orig_bytes = n$orig_bytes;

	if ( n?$resp_bytes )
		rec$resp_bytes = n$resp_bytes;

	if ( n?$conn_state )
		rec$conn_state = n$conn_state;

	if ( n?$local_orig )
		rec$local_orig = n$local_orig;

	if ( n?$local_resp )
		rec$local_resp = n$local_resp;

	if ( n?$history )
		rec$history = n$history;

	if ( n?$orig_pkts )
		{
		rec$orig_pkts = n$orig_pkts;
		rec$orig_ip_bytes = n$orig_ip_bytes;
		rec$resp_pkts = n$resp_pkts;
		rec$resp_ip_bytes = n$resp_ip_bytes;
		}

	if ( n?$tunnel_parents )
		rec$tunnel_parents = n$tunnel_parents;

	fill(c, rec);
	Log::write(LOG, rec);
	}

# The session is still open: its sizes are in the connection record, not in conn.log's yet.
function log_progress(c: connection)
	{
	local n = c$conn;
	local rec = Info($ts=c$start_time, $kind="progress", $uid=c$uid, $id=c$id,
	    $proto=n$proto, $duration=c$duration, $orig_bytes=c$orig$size,
	    $resp_bytes=c$resp$size, $missed_bytes=n$missed_bytes,
	    $history=c$history);
	if ( |c$service| > 0 )
		rec$service = to_lower(join_string_set(c$service, ","));

	if ( n?$local_orig )
		rec$local_orig = n$local_orig;

	if ( n?$local_resp )
		rec$local_resp = n$local_resp;

	if ( c$orig?$num_pkts
	    && c$resp?$num_pkts
	    && c$orig?$num_bytes_ip
	    && c$resp?$num_bytes_ip )
		{
		rec$orig_pkts = c$orig$num_pkts;
		rec$orig_ip_bytes = c$orig$num_bytes_ip;
		rec$resp_pkts = c$resp$num_pkts;
		rec$resp_ip_bytes = c$resp$num_bytes_ip;
		}

	fill(c, rec);
	Log::write(LOG, rec);
	}

hook polled(c: connection)
	{
	local t = c$netexfil;
	local since = t?$written ? t$written : c$start_time;
	if ( ! c?$conn || network_time() - since < progress_interval )
		return;

	t$written = network_time();
	log_progress(c);
	}

# After the hooks of the protocols (priority -3), which complete the certificates, and before conn.log (-5).
event connection_state_remove(c: connection) &priority=-4
	{
	if ( c?$conn && is_wanted(c) )
		log_session(c);
	}

# QUIC's protocol stands in the client's hello only; the server's answer is encrypted.
event ssl_extension_application_layer_protocol_negotiation(c: connection,
    is_client: bool, protocols: string_vec)
	{
	if ( is_client
	    && |protocols| > 0
	    && get_port_transport_proto(c$id$resp_p) == udp )
		c$netexfil_alpn = protocols[0];
	}

function log_name(ts: time, kind: string, a: addr, name: string)
	{
	if ( name == "" || [a, name] in names )
		return;

	if ( |names| < max_channels )
		add names[a, name];

	Log::write(LOG, Info($ts=ts, $kind=kind, $address=a, $name=name));
	}

# The name that was asked for, as in dns.log's query; an answer's own name may be that of an alias.
function log_answer(c: connection, ans: dns_answer, a: addr)
	{
	log_name(network_time(), "dns", a, c?$dns && c$dns?$query ? c$dns$query :
	    ans$query);
	}

event dns_A_reply(c: connection, msg: dns_msg, ans: dns_answer, a: addr)
	{
	log_answer(c, ans, a);
	}

event dns_AAAA_reply(c: connection, msg: dns_msg, ans: dns_answer, a: addr)
	{
	log_answer(c, ans, a);
	}

event DHCP::log_dhcp(rec: DHCP::Info)
	{
	if ( ! rec?$host_name )
		return;

	if ( rec?$assigned_addr )
		log_name(rec$ts, "host", rec$assigned_addr, rec$host_name);
	else if ( rec?$client_addr )
		log_name(rec$ts, "host", rec$client_addr, rec$host_name);
	}

event ntlm_authenticate(c: connection, request: NTLM::Authenticate)
	{
	if ( request?$workstation )
		log_name(network_time(), "host", c$id$orig_h, request$workstation);
	}

# A machine account names the machine: HOST$/REALM.
event KRB::log_krb(rec: KRB::Info)
	{
	if ( rec?$client && /\$\// in rec$client )
		log_name(rec$ts, "host", rec$id$orig_h, split_string1(rec$client, /\$/)[0]);
	}
