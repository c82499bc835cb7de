# One session over the threshold: one notice for its channel.
#
# @TEST-EXEC: zeek -C -r $TRACES/rclone-sftp.pcap $PACKAGE NetExfil::upload_threshold=1000000
# @TEST-EXEC: zeek-cut note src dst p n < notice.log > notices
# @TEST-EXEC: btest-diff notices
