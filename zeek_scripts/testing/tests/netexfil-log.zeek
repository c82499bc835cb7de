# netexfil.log says what conn.log and ssh.log say of a session.
#
# @TEST-EXEC: zeek -C -r $TRACES/rclone-sftp.pcap $PACKAGE
# @TEST-EXEC: zeek-cut kind id.orig_h id.orig_p id.resp_h id.resp_p proto orig_bytes resp_bytes conn_state ssh_client < netexfil.log > lines
# @TEST-EXEC: btest-diff lines
# @TEST-EXEC: zeek-cut uid duration orig_bytes resp_bytes conn_state history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes < conn.log > full
# @TEST-EXEC: zeek-cut uid duration orig_bytes resp_bytes conn_state history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes < netexfil.log > compact
# @TEST-EXEC: diff full compact
