##! More columns in conn.log: the producer-consumer ratio, whether a session leads outside, and the Community
##! ID. Not loaded with the package, as it costs CPU on every session: ``@load netexfil/session``.

@load base/protocols/conn
@load policy/protocols/conn/community-id-logging
@load ./options

module NetExfil;

redef record Conn::Info += {
	## (sent - received) / (sent + received) of the originator's payload; empty where nothing was sent.
	pcr: double &log &optional;
	## Whether the session leads from inside to outside.
	outbound: bool &log &optional;
};

# conn.log's record is complete from priority 5 on, and written at -5.
event connection_state_remove(c: connection)
	{
	if ( ! c?$conn )
		return;

	c$conn$outbound = is_outbound(c$id);
	if ( c$orig$size + c$resp$size > 0 )
		c$conn$pcr = pcr(sent(c$orig), sent(c$resp));
	}
