# Three sessions of a channel, each over the threshold: still one notice.
#
# @TEST-EXEC: zeek -C -r $TRACES/curl-put-onesided.pcap $PACKAGE NetExfil::upload_threshold=300000
# @TEST-EXEC: zeek-cut note src dst p < notice.log > notices
# @TEST-EXEC: btest-diff notices
