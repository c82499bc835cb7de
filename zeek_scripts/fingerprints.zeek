##! Columns of netexfil.log that other packages and scripts compute: JA3 (package ja3), JA4 (package ja4, the
##! client's only), HASSH (package hassh) and Community ID (policy/protocols/conn/community-id-logging).
##! Each is there if its script was loaded before this one, as zkg does.

@load ./netexfil_log

module NetExfil;

@ifdef ( JA3::LOG )
redef record Info += {
	ja3: string &log &optional;
};

hook completing(c: connection, rec: Info)
	{
	if ( c?$ssl && c$ssl?$ja3 )
		rec$ja3 = c$ssl$ja3;
	}
@endif

@ifdef ( FINGERPRINT::JA4::LOG )
redef record Info += {
	ja4: string &log &optional;
};

hook completing(c: connection, rec: Info)
	{
	if ( c?$fp && c$fp$ja4$ja4 != "" )
		rec$ja4 = c$fp$ja4$ja4;
	}
@endif

@ifdef ( SSH::HASSHStorage )
redef record Info += {
	hassh: string &log &optional;
	hassh_server: string &log &optional;
};

hook completing(c: connection, rec: Info)
	{
	if ( ! c?$ssh )
		return;

	if ( c$ssh?$hassh )
		rec$hassh = c$ssh$hassh;

	if ( c$ssh?$hasshServer )
		rec$hassh_server = c$ssh$hasshServer;
	}
@endif

@ifdef ( CommunityID::seed )
redef record Info += {
	community_id: string &log &optional;
};

hook completing(c: connection, rec: Info)
	{
	if ( c?$conn && c$conn?$community_id )
		rec$community_id = c$conn$community_id;
	}
@endif
