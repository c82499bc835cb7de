# SSH on the port of HTTPS.
#
# @TEST-EXEC: zeek -C -r $TRACES/ssh-on-443.pcap $PACKAGE
# @TEST-EXEC: zeek-cut note src dst p < notice.log > notices
# @TEST-EXEC: btest-diff notices
