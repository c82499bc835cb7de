##! What a site may set. Every value is an ``option``: ``redef`` it in local.zeek, or change it while Zeek
##! runs through the configuration framework (:doc:`/frameworks/configuration`).

@load base/utils/site

module NetExfil;

export {
	## Ports of the encrypted protocols that are not command and control channels (ATT&CK T1048.002).
	option ports: set[port] = {
		21/tcp,
		22/tcp,
		443/tcp,
		465/tcp,
		587/tcp,
		990/tcp,
		993/tcp,
		8443/tcp,
		443/udp
	};

	## Control ports of FTP over TLS. Its data sessions count as part of the control session's channel.
	option ftp_ports: set[port] = {
		21/tcp,
		990/tcp
	};

	## The service that belongs on a port, in Zeek's names.
	option expected_service: table[port] of string = {
		[21/tcp] = "FTP",
		[22/tcp] = "SSH",
		[443/tcp] = "SSL",
		[465/tcp] = "SSL",
		[587/tcp] = "SMTP",
		[990/tcp] = "SSL",
		[993/tcp] = "SSL",
		[8443/tcp] = "SSL"
	};

	## Networks inside. What a site adds to :zeek:see:`Site::local_nets` is inside as well. The ranges that
	## Zeek puts there by itself are not: they hold the documentation ranges (192.0.2.0/24,
	## 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32), which count as public here.
	option inside: set[subnet] = {
		10.0.0.0/8,
		172.16.0.0/12,
		192.168.0.0/16,
		[fc00::]/7
	};

	## Networks that are not public and not inside either: nothing sent there left the site.
	option not_public: set[subnet] = {
		0.0.0.0/8,
		10.0.0.0/8,
		100.64.0.0/10,
		127.0.0.0/8,
		169.254.0.0/16,
		172.16.0.0/12,
		192.168.0.0/16,
		224.0.0.0/4,
		255.255.255.255/32,
		[::]/128,
		[::1]/128,
		[fc00::]/7,
		[fe80::]/10,
		[ff00::]/8
	};

	## Whether a session between two public addresses on a watched port counts as outbound from its
	## originator: a sensor outside the address translation, a campus of public addresses.
	option transit: bool = T;

	## Destinations that may receive uploads, a backup provider for example: no notice is raised for them.
	option allowed_destinations: set[subnet] = {};

	## Bytes sent on a channel that make an upload large (DET0512: OutboundTrafficVolumeThreshold).
	option upload_threshold: count = 10485760;

	## Producer-consumer ratio, (sent - received) / (sent + received), from which a session is an upload.
	option min_pcr: double = 0.5;

	## Share of :zeek:see:`NetExfil::upload_threshold` that many sessions of one channel must send together
	## within an hour, and within a day, to be told as a slow upload.
	option hour_share: double = 1.0;
	option day_share: double = 1.0;

	## Sessions on other ports are looked at once, at their end, from this many bytes sent.
	option other_bytes: count = 16384;

	## Client versions in SSH banners that belong to file transfer tools and libraries.
	option transfer_tools = /rclone|FileZilla|WinSCP|PuTTY|paramiko|AsyncSSH|libssh|JSCH|JSch|SSHJ|sshj|Renci|Cyberduck|Transmit|CrushFTP|CuteFTP|SecureFX|Rebex|IPWorks|ssh-nio|MOVEit|GoAnywhere|SSH-2.0-Go|russh/;

	## Bytes sent from which a transfer tool, or a service on a port that is not its own, is told.
	option hint_bytes: count = 102400;

	## Time given to a session to become a large upload before such a hint is told on its own.
	option hint_wait: interval = 1min;

	## Time between looks at an open session; it grows with the session's age to twenty times as much.
	option poll_interval: interval = 15secs;

	## Time for which a channel is not told again.
	option quiet: interval = 1day;

	## Channels kept in memory at most; further ones are judged by their single sessions only.
	option max_channels: count = 100000;

	## Time between the running totals of an open session in netexfil.log.
	option progress_interval: interval = 5min;

	## Bytes in either direction from which a session on another port stands in netexfil.log; 0 logs all
	## that cross the border.
	option log_bytes: count = 16384;

	## The same for sessions inside: what was collected before it was sent. 0 logs all.
	option log_inside_bytes: count = 1048576;

	## Whether an address is inside.
	global is_inside: function(a: addr): bool;

	## Whether an address is public.
	global is_public: function(a: addr): bool;

	## Whether a session leads from inside to outside.
	global is_outbound: function(id: conn_id): bool;

	## Whether Zeek found an encrypted protocol in a session, by content.
	global is_encrypted: function(c: connection): bool;

	## Bytes that one side is known to have sent: payload by sequence numbers, and never more than its
	## packets can have carried, as sequence numbers lie where packets were lost or super-sized.
	global sent: function(e: endpoint): count;

	## Producer-consumer ratio, from -1 (all received) to 1 (all sent).
	global pcr: function(out: count, back: count): double;
}

function is_inside(a: addr): bool
	{
	return a in inside
	    || ( a in Site::local_nets && a !in Site::private_address_space );
	}

function is_public(a: addr): bool
	{
	return a !in not_public && ! is_inside(a);
	}

function is_outbound(id: conn_id): bool
	{
	if ( is_inside(id$orig_h) )
		return is_public(id$resp_h);

	return transit
	    && id$resp_p in ports
	    && is_public(id$orig_h)
	    && is_public(id$resp_h);
	}

function is_encrypted(c: connection): bool
	{
	return "SSL" in c$service
	    || "SSH" in c$service
	    || "QUIC" in c$service
	    || "DTLS" in c$service;
	}

function sent(e: endpoint): count
	{
	if ( e?$num_bytes_ip && e$num_bytes_ip < e$size )
		return e$num_bytes_ip;

	return e$size;
	}

function pcr(out: count, back: count): double
	{
	if ( out + back == 0 )
		return 0.0;

	return ( 1.0 * out - 1.0 * back ) / ( out + back );
	}
