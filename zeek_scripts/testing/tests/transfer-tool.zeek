# An upload far under the threshold, by a tool that names itself.
#
# @TEST-EXEC: zeek -C -r $TRACES/rclone-sftp.pcap $PACKAGE
# @TEST-EXEC: zeek-cut note src dst p n < notice.log > notices
# @TEST-EXEC: btest-diff notices
