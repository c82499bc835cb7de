# The columns that session.zeek adds to conn.log.
#
# @TEST-EXEC: zeek -C -r $TRACES/rclone-sftp.pcap $PACKAGE/session.zeek
# @TEST-EXEC: zeek-cut orig_bytes resp_bytes pcr outbound < conn.log > columns
# @TEST-EXEC: btest-diff columns
